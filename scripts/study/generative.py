"""One run of the generative form: from release to record."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from featurestore.errors import UsageError
from featurestore.ids import digest
from featurestore.progress import Progress
from recommender.base import FitReport
from recommender.checkpoint import CheckpointFile, load_checkpoint
from recommender.data import load_histories
from recommender.generative.config import GenerativeConfig
from recommender.generative.experiment import list_means, system_config
from recommender.generative.model import GenerativeModel
from recommender.generative.saved import SavedGenerative, load_generative, save_generative
from recommender.saved import bind
from scripts.study.generative_records import GenerativeRecord, GenerativeRun, generative_version
from scripts.study.generative_world import PARTS, PROJECTS, World

MODELS: Final = PROJECTS / "models"


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
        UsageError: If the minutes are over before anything was validated.
    """
    settings, binding = config.model_dump(mode="json"), bind(world.release, None).model_dump(mode="json")
    key = digest([run.profiles, settings, seed, world.data, binding, generative_version(), minutes])
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / key
    if place.exists():
        model, info = load_generative(place, world.release)
        return Fitted(model, info.fit, minutes if info.fit.interrupted else None)
    checkpoint = CheckpointFile(folder / f"{key}.checkpoint.safetensors", key)
    state = load_checkpoint(checkpoint)
    spent = float(state.progress["seconds"]) if state else 0.0
    watch = Watch(None if minutes is None else 60 * minutes, spent, told)
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
    save_generative(place, model, info)
    checkpoint.discard()
    return Fitted(model, report, minutes if watch.is_over else None, watch.cpu_seconds_per_epoch)


def measure(run: GenerativeRun, world: World, found: Fitted, *, seed: int) -> GenerativeRecord:
    """Decode all users with held-out items, validation and test, and put everything into a record."""
    model, data = found.model, world.training
    validation = list_means(model, data.histories, data.valid)
    asked, num_users = load_histories(world.release, *PARTS[:2]), len(np.unique(world.test.users))
    started = time.process_time()
    test = list_means(model, asked, world.test)
    seconds = time.process_time() - started
    kept = list_means(model, asked, world.test, "keep")
    return GenerativeRecord(
        run=run,
        seed=seed,
        code=generative_version(),
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
        users_per_second=num_users / max(seconds, 1e-9),
        cpu_seconds_per_epoch=found.cpu_seconds_per_epoch,
    )
