"""One run of the generative form: from release to record."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from featurestore.errors import UsageError
from featurestore.ids import digest, digest_bytes
from featurestore.progress import Progress
from recommender.base import FitReport
from recommender.checkpoint import CheckpointFile, load_checkpoint
from recommender.data import load_histories
from recommender.generative.config import GenerativeConfig
from recommender.generative.experiment import system_config
from recommender.generative.means import choice_means, list_means
from recommender.generative.model import GenerativeModel
from recommender.generative.saved import SavedGenerative, load_generative, save_generative
from recommender.sampled import draw_negatives
from recommender.saved import bind
from scripts.study.generative_records import GenerativeRecord, generative_version
from scripts.study.generative_runs import GenerativeRun
from scripts.study.generative_world import PARTS, PROJECTS, World

MODELS: Final = PROJECTS / "models"
_NEGATIVES_SEED: Final = 0
"""All runs and seeds choose from the same candidates."""


class Watch:
    """Stops training when its minutes are over, by the way that Ctrl-C takes.

    Args:
        budget: Seconds in all processes; None: any.
        spent: Seconds of earlier processes.
        told: Hears of every epoch.
    """

    def __init__(self, budget: float | None, spent: float, told: Progress) -> None:
        self._budget, self._spent, self._told = budget, spent, told
        self._started = time.monotonic()
        self._marks = [time.process_time()]
        self.is_over = False

    @property
    def cpu_seconds_per_epoch(self) -> float | None:
        """Median processor time; None before an epoch has ended."""
        return float(np.median(np.diff(self._marks))) if len(self._marks) > 1 else None

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """See `featurestore.progress.Progress`."""
        self._told(done, total, note)
        self._marks.append(time.process_time())
        if self._budget is not None and self._spent + time.monotonic() - self._started >= self._budget:
            self.is_over = True
            raise KeyboardInterrupt


def settings_of(run: GenerativeRun) -> GenerativeConfig:
    """All settings of a run: the system's, and its own."""
    return system_config(run.system, run.settings)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model.

    Attributes:
        model: The model.
        fit: How training went.
        stopped_minutes: The minutes that ended it; None if it ended by itself.
        cpu_seconds_per_epoch: See `GenerativeRecord`.
    """

    model: GenerativeModel
    fit: FitReport
    stopped_minutes: float | None
    cpu_seconds_per_epoch: float | None = None


def fitted(
    run: GenerativeRun,
    world: World,
    config: GenerativeConfig,
    *,
    seed: int,
    minutes: float | None,
    told: Progress,
    folder: Path = MODELS,
) -> Fitted:
    """Train and save, or go on from a checkpoint, or load what was saved of equal settings, release and code.

    Training that ended by itself is what any minutes get; what minutes ended goes on if others are given.

    Args:
        run: What to train.
        world: Its data set.
        config: All settings.
        seed: Of everything random.
        minutes: Training ends after so long, all processes together; None: when it ends by itself.
        told: Hears of every epoch.
        folder: Of models and checkpoints.

    Raises:
        KeyboardInterrupt: If a person stopped it; its checkpoint stays.
        UsageError: If the minutes are over before anything was validated, or before this process.
    """
    settings, binding = config.model_dump(mode="json"), bind(world.release, None).model_dump(mode="json")
    key = digest([run.profiles, settings, seed, world.data, binding, generative_version(run)])
    folder.mkdir(parents=True, exist_ok=True)
    finished, stopped = folder / key, folder / f"{key}.{minutes}-minutes"
    for place, ended in ((finished, None), (stopped, minutes)):
        if place.exists():
            model, info = load_generative(place, world.release)
            return Fitted(model, info.fit, ended)
    checkpoint = CheckpointFile(folder / f"{key}.checkpoint.safetensors", key)
    watch = _new_watch(checkpoint, minutes, told)
    model, features = GenerativeModel(config, world.item_digits(config, seed)), world.features(run.profiles)
    try:
        report = model.fit(
            world.training, features=features, seed=seed, progress=watch, checkpoint=checkpoint
        )
    except KeyboardInterrupt:
        if watch.is_over:
            raise UsageError(
                f"{minutes or 0:g} minutes were over before the first validation, which is after epoch "
                f"{config.eval_every}.",
                hint="Give more --minutes, or validate earlier: --set eval_every=1.",
            ) from None
        raise
    if report.interrupted and not watch.is_over:
        raise KeyboardInterrupt
    info = SavedGenerative(config=config, seed=seed, binding=bind(world.release, features), fit=report)
    if report.interrupted:
        save_generative(stopped, model, info)  # its checkpoint stays, for who gives it more time
        return Fitted(model, report, minutes, watch.cpu_seconds_per_epoch)
    save_generative(finished, model, info)
    checkpoint.discard()
    return Fitted(model, report, None, watch.cpu_seconds_per_epoch)


def _new_watch(checkpoint: CheckpointFile, minutes: float | None, told: Progress) -> Watch:
    state = load_checkpoint(checkpoint)
    spent = float(state.progress["seconds"]) if state else 0.0
    if minutes is not None and state and spent >= 60 * minutes:
        raise UsageError(
            f"{minutes:g} minutes were asked for, and the training has had {spent / 60:.1f} already.",
            hint="Ask for more --minutes, or leave them out.",
        )
    return Watch(None if minutes is None else 60 * minutes, spent, told)


def measure(run: GenerativeRun, world: World, found: Fitted, *, seed: int) -> GenerativeRecord:
    """Decode all users with held-out items, validation and test, and put everything into a record.

    Who learned the direct task chooses from each test item and sampled negatives, too.
    """
    model, data = found.model, world.training
    validation = list_means(model, data.histories, data.valid)
    asked, num_users = load_histories(world.release, *PARTS[:2]), len(np.unique(world.test.users))
    started = time.process_time()
    test = list_means(model, asked, world.test)
    seconds = time.process_time() - started
    kept = list_means(model, asked, world.test, "keep")
    direct = negatives = None
    if model.config.direct_every:
        negatives = draw_negatives(world.test, model.config.candidates - 1, seed=_NEGATIVES_SEED)
        direct = choice_means(model, world.test, negatives)
    return GenerativeRecord(
        run=run,
        seed=seed,
        code=generative_version(run),
        data=world.data,
        config=model.config.model_dump(mode="json"),
        num_parameters=model.num_parameters,
        num_train_users=int((data.histories.lengths > 1).sum()),
        num_test_users=num_users,
        threads=torch.get_num_threads(),
        fit=found.fit,
        stopped_minutes=found.stopped_minutes,
        validation=validation,
        test=test,
        test_kept=kept,
        direct=direct,
        negatives=None if negatives is None else negatives.digest,
        item_digits=digest_bytes(world.item_digits(model.config, seed).astype("<i8").tobytes()),
        users_per_second=num_users / max(seconds, 1e-9),
        cpu_seconds_per_epoch=found.cpu_seconds_per_epoch,
    )
