"""One run from release to record: train, validate, rank the test part once.

Raise `study.code_version.PROTOCOL` with any change here that changes what is computed.
"""

import platform
import time
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal, TypeAlias

import torch

from featurestore.reader import Release, open_store
from recommender.base import FitReport, Recommender
from recommender.checkpoint import CheckpointFile, load_checkpoint
from recommender.data import TrainingData, load_training_data
from recommender.evaluate import rank_held_out
from recommender.evaluation.tasks import EvaluationTask, load_task, scorer
from recommender.features import EntityFeatures, NodeFeatures, entity_features
from recommender.metrics import ranking_metrics
from recommender.registry import find_model, parse_settings
from recommender.saved import config_json
from scripts.study.datasets import CACHE, Dataset
from scripts.study.llmgr_tunings import tuned_items
from scripts.study.measures import (
    dataset_facts,
    gate_parts,
    held_out_pairs,
    policy_parts,
    strata,
    user_groups,
    validation_metrics,
)
from scripts.study.records import Records
from scripts.study.runs import Record, Run

CHECKPOINTS: Final = CACHE / "checkpoints"
_PACKAGES: Final = ("torch", "numpy", "cot-featurestore")
Reason: TypeAlias = Literal["budget", "deadline"]


class Stopped(Exception):  # noqa: N818 - no error: the run goes on later
    """The time of this process ended before the run did; its checkpoint is kept."""


@dataclass(frozen=True)
class Prepared:
    """A data set's release, read once for all runs on it.

    Attributes:
        dataset: The data set.
        digest: Of its data.
        release: Its release.
    """

    dataset: Dataset
    digest: str
    release: Release

    @classmethod
    def open(cls, dataset: Dataset, digest: str) -> "Prepared":
        """The release of a data set that was prepared."""
        return cls(dataset, digest, open_store(str(dataset.project / "store")).release("production"))

    @cached_property
    def training(self) -> TrainingData:
        """What models are trained on."""
        return load_training_data(self.release)

    @cached_property
    def task(self) -> EvaluationTask:
        """What models are tested on; read once training is over."""
        return load_task(self.release)


@dataclass
class Watch:
    """Stops training when its time is over, by the way that Ctrl-C takes.

    Attributes:
        deadline: Monotonic second at which this process wants to end; None: never.
        budget: Seconds that training may take in all; None: any.
        spent: Seconds that it took before it was stopped the last time.
        reason: Why training was stopped; None if it was not, or by a person.
    """

    deadline: float | None
    budget: float | None
    spent: float
    reason: Reason | None = None
    started: float = field(default_factory=time.monotonic)

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """See `featurestore.progress.Progress`; called after every epoch."""
        del done, total, note
        now = time.monotonic()
        if self.budget is not None and self.spent + now - self.started >= self.budget:
            self.reason = "budget"
        elif self.deadline is not None and now >= self.deadline:
            self.reason = "deadline"
        if self.reason is not None:
            raise KeyboardInterrupt


def execute(
    run: Run,
    prepared: Prepared,
    records: Records,
    *,
    key: str,
    code: str,
    threads: int,
    checkpoints: Path = CHECKPOINTS,
    deadline: float | None = None,
) -> Record:
    """Compute a run and write its record.

    Args:
        run: What to compute.
        prepared: Its data set.
        records: Where to write to.
        key: Of the result.
        code: Version of the code.
        threads: Of torch.
        checkpoints: Folder of what stopped runs go on from; made if need be.
        deadline: See `Watch`.

    Raises:
        Stopped: If the deadline came first.
        KeyboardInterrupt: If a person stopped it; its checkpoint is kept too.
    """
    torch.set_num_threads(threads)
    entry = find_model(run.model)
    config = parse_settings(entry.config_type, run.settings)
    model = entry.model_type(config)
    checkpoints.mkdir(parents=True, exist_ok=True)
    checkpoint = CheckpointFile(checkpoints / f"{key}.safetensors", key)
    features = features_of(run, prepared)
    fit = _train(model, run, prepared, features, checkpoint=checkpoint, deadline=deadline)
    ranks = rank_held_out(scorer(model, prepared.task), prepared.task.held_out)
    record = Record(
        key=key,
        run=run,
        code=code,
        data=prepared.digest,
        config=config_json(config),
        versions=_versions(),
        threads=threads,
        fit=fit,
        stopped_minutes=run.max_minutes if fit.interrupted else None,
        validation=validation_metrics(model, prepared.training),
        test=ranking_metrics(ranks).means(),
        strata=strata(prepared.task, ranks),
        ranks="",
        gates=gate_parts(model, prepared.training),
        policy=policy_parts(model, prepared.training, features),
    )
    facts = dataset_facts(prepared.digest, prepared.training, prepared.task)
    records.describe(run.dataset, facts, held_out_pairs(prepared.task))
    records.describe_users(
        run.dataset, user_groups(prepared.release, prepared.task, prepared.dataset.user_groups)
    )
    stored = records.save(record, ranks.better, ranks.tied)
    checkpoint.discard()
    return stored


def _train(
    model: Recommender,
    run: Run,
    prepared: Prepared,
    features: NodeFeatures | None,
    *,
    checkpoint: CheckpointFile,
    deadline: float | None,
) -> FitReport:
    state = load_checkpoint(checkpoint)
    spent = float(state.progress["seconds"]) if state else 0.0
    watch = Watch(deadline, None if run.max_minutes is None else 60 * run.max_minutes, spent)
    try:
        fit = model.fit(
            prepared.training,
            features=features,
            seed=run.seed,
            progress=watch,
            checkpoint=checkpoint,
        )
    except KeyboardInterrupt:
        if watch.reason is None:
            raise
        raise Stopped(f"{run.name}: the {watch.reason} ended before the first validation") from None
    if fit.interrupted and watch.reason is None:
        raise KeyboardInterrupt
    if watch.reason == "deadline":
        raise Stopped(f"{run.name}: stopped after {fit.epochs} epochs, goes on from its checkpoint")
    return fit


def features_of(run: Run, prepared: Prepared) -> NodeFeatures | None:
    """The vectors that a run's form asks for; a control is drawn anew for every seed."""
    if run.form == "plain":
        return None
    if run.form == "tuned":
        return NodeFeatures(tuned_items(run.settings["teacher"], prepared.release))
    dataset, users = prepared.dataset, None
    assert dataset.item_feature is not None, f"{dataset.name} has no texts of items"
    items = entity_features(
        prepared.release, "item", dataset.item_feature, control=run.control, seed=run.seed
    )
    if run.form == "both":
        users = _user_features(prepared)
    return NodeFeatures(items, users)


def _user_features(prepared: Prepared) -> EntityFeatures:
    feature = prepared.dataset.user_feature
    assert feature is not None, f"{prepared.dataset.name} has no texts of users"
    return entity_features(prepared.release, "user", feature, optimistic_validation=True)


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}
