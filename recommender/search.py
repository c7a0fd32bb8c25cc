"""A small random search over a model's declared space; settings are chosen on the validation part alone.

Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 2012. Trial k draws its settings
from (seed, k), so that more trials later repeat none of the earlier ones, and a stopped search goes on.
"""

import fcntl
import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from featurestore.errors import InputError, LockHeldError, StoreError, UsageError
from featurestore.ids import digest
from featurestore.progress import Progress, no_progress
from featurestore.reader import Release
from featurestore.spec import Frozen
from recommender.base import Recommender
from recommender.data import TrainingData, load_training_data
from recommender.experiment import TrainRequest, load_features
from recommender.features import NodeFeatures
from recommender.registry import ModelEntry, find_model, parse_settings
from recommender.saved import bind, config_json
from recommender.search_space import draw_settings
from recommender.training.divergence import DivergedError


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting that was tried.

    Attributes:
        number: From 0.
        settings: What was drawn, as text.
        metric: Best value of the monitored validation metric; None if training diverged.
        best_epoch: The epoch that reached it.
        seconds: Time of training.
    """

    number: int
    settings: dict[str, str]
    metric: float | None
    best_epoch: int
    seconds: float


@dataclass(frozen=True, slots=True)
class SearchReport:
    """The outcome of `search`.

    Attributes:
        monitor: The metric that chose.
        trials: Best first; equal ones by number; those that diverged last.
        num_known: Trials that an earlier search with this log had done.
    """

    monitor: str
    trials: tuple[Trial, ...]
    num_known: int


def search(
    release: Release,
    request: TrainRequest,
    log: Path,
    *,
    num_trials: int,
    progress: Progress = no_progress,
) -> SearchReport:
    """Train once per draw and compare on validation. The test part is not read.

    Args:
        release: An opened release with a validation part.
        request: Model, features, fixed settings; its first seed is the search's and the model's.
        log: A file of one JSON object per finished trial; what is in it is not run again.
        num_trials: Trials in all, those of the log included.
        progress: Told about trials.

    Raises:
        UsageError: If the model has no space, all of it is fixed by the request, or features read validation
            events.
        InputError: If the release has no validation part.
        DivergedError: If all trials diverge.
        StoreError: If the log is of another search, or damaged.
        LockHeldError: If another search writes this log.
    """
    if request.num_threads is not None:
        torch.set_num_threads(request.num_threads)
    entry = find_model(request.model)
    space = {name: values for name, values in entry.space.items() if name not in request.settings}
    _check(request, entry.space, space)
    data, seed = load_training_data(release), request.seeds[0]
    if not len(data.valid):
        raise InputError(
            "the release has no validation events, so nothing can be chosen.",
            hint="Ingest with a split that holds some out, such as leave_one_out.",
        )
    features = load_features(release, request, seed)
    fixed = config_json(parse_settings(entry.config_type, request.settings))
    identity = digest([request.model, fixed, seed, bind(release, features).model_dump(mode="json")])
    monitor = str(fixed["monitor"])
    with _alone(log):
        trials = {trial.number: trial for trial in _read(log, identity) if trial.number < num_trials}
        num_known = len(trials)
        for number in sorted(set(range(num_trials)) - trials.keys()):
            drawn = draw_settings(space, np.random.default_rng([seed, number]))
            model = entry.model_type(_config(entry, request.settings, drawn))
            trials[number] = _try(model, Trial(number, drawn, None, 0, 0.0), data, features, seed)
            _append(log, identity, trials[number])
            progress(len(trials), num_trials, f"best {monitor} {max(map(_value, trials.values())):.4f}")
    ranked = sorted(trials.values(), key=lambda trial: (-_value(trial), trial.number))
    if ranked and ranked[0].metric is None:
        raise DivergedError(
            f"all {len(ranked)} trials diverged; {log} has their settings.",
            hint="Fix a smaller one with --set learning_rate=VALUE.",
        )
    return SearchReport(monitor, tuple(ranked), num_known)


def _config(entry: ModelEntry, fixed: Mapping[str, str], drawn: Mapping[str, str]) -> Frozen:
    """Settings of a trial.

    Raises:
        UsageError: If what was drawn and what is fixed do not go together.
    """
    try:
        return parse_settings(entry.config_type, {**fixed, **drawn})
    except UsageError as error:
        given = " ".join(f"{name}={value}" for name, value in drawn.items())
        raise UsageError(
            f"the search drew {given}, which does not fit the settings that are fixed: {error.message}",
            hint="Fix the setting that is named with --set as well, or leave the other to its default.",
        ) from error


def _try(
    model: Recommender, trial: Trial, data: TrainingData, features: NodeFeatures | None, seed: int
) -> Trial:
    """The trial with what its model reaches; as it is if training diverges."""
    try:
        fit = model.fit(data, features=features, seed=seed, progress=no_progress)
    except DivergedError:
        return trial
    if fit.interrupted:
        raise KeyboardInterrupt
    return replace(trial, metric=fit.best_metric or 0.0, best_epoch=fit.best_epoch, seconds=fit.seconds)


def _value(trial: Trial) -> float:
    return -1.0 if trial.metric is None else trial.metric


def _check(request: TrainRequest, declared: object, space: object) -> None:
    if not declared:
        raise UsageError(
            f"{request.model} declares no settings to search over.",
            hint="Train it as it is, or search a model that trains in epochs.",
        )
    if not space:
        raise UsageError(
            f"all settings that {request.model} can search over are fixed.", hint="Leave some --set out."
        )
    if request.optimistic_validation:
        raise UsageError("features that read validation events cannot help to choose settings.")


@contextmanager
def _alone(log: Path) -> Generator[None]:
    """Nobody else draws, or writes, the same trials at the same time; a killed search holds nothing."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockHeldError(
                f"another search writes {log}.", hint="Wait for it, or name another file with --output."
            ) from error
        yield


def _read(log: Path, identity: str) -> Iterator[Trial]:
    for number, line in enumerate(log.read_text(encoding="utf-8").splitlines()):
        try:
            stated = json.loads(line)
            found, trial = stated.pop("search"), Trial(**stated)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(
                f"line {number + 1} of {log} is no trial: {error}.", hint="Remove the line, or the file."
            ) from error
        if found != identity:
            raise StoreError(
                f"{log} is of another search: model, release, features, seed or fixed settings differ.",
                hint="Name another file with --output.",
            )
        yield trial


def _append(log: Path, identity: str, trial: Trial) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"search": identity, **asdict(trial)}) + "\n")
