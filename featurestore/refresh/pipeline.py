"""Stages that bring a store up to date one after the other, each skipped where nothing it knows has changed.

Every stage is repeatable: stopped at any moment, it goes on when it is run again. What a stage was finished
with is kept in the store as a mark, ``refresh/<stage>/<digest>.json``: the digest is of all that decides
whether the stage has anything to do, and of what it left. While both are the same, the stage is skipped.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, TypeAlias

from pydantic import Field

from featurestore.ids import canonical_json, digest
from featurestore.progress import Progress, RunProgress
from featurestore.spec import Frozen
from featurestore.store import Store
from featurestore.version import product_version

StageStatus: TypeAlias = Literal["done", "skipped", "left", "failed"]
"""``left``: something remains to do, which is no error: another job does it, or a limit was reached."""


class StageOutcome(Frozen):
    """What a stage did, and whether it may be skipped the next time."""

    facts: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Counts and names for the report, as plain JSON values."""
    left: str | None = None
    """What remains to do, in words; None if nothing does."""
    again_at: datetime | None = None
    """When there will be something to do even if nothing changes; None if never."""


class Stage(Protocol):
    """One step of a pipeline."""

    @property
    def name(self) -> str:
        """Letters, digits, ``_``, ``-`` and ``.``, the same every night: ``texts.item_cot``."""
        ...

    def reads(self) -> Mapping[str, Any]:
        """All that decides what there is to do, as plain JSON values: versions, digests, options. Cheap."""
        ...

    def writes(self) -> Mapping[str, Any]:
        """What the stage leaves, as plain JSON values: versions of the tables it writes. Cheap."""
        ...

    def run(self) -> StageOutcome:
        """Do what there is to do."""
        ...


class Watch(Protocol):
    """Who shows how far the stages are."""

    def progress(self, stage: str) -> AbstractContextManager[Progress]:
        """A callback for the steps of one stage."""
        ...

    def run_progress(self, stage: str) -> AbstractContextManager[RunProgress]:
        """A callback for a stage in which a language model runs."""
        ...

    def finished(self, report: "StageReport") -> None:
        """A stage has ended, however it did."""
        ...


@dataclass(frozen=True, slots=True)
class StageReport:
    """What became of a stage.

    Attributes:
        name: The stage's.
        status: See `StageStatus`.
        seconds: It took.
        facts: Of this run; of a skipped stage, those of the run that finished it.
        left: What remains to do.
        error: What ended it.
    """

    name: str
    status: StageStatus
    seconds: float
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    left: str | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; what is absent is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Pipeline:
    """Runs stages and keeps what became of each.

    Args:
        store: Where the stages work and the marks lie.
        watch: Told of each stage's end.
    """

    def __init__(self, store: Store, watch: Watch) -> None:
        self._objects = store.objects
        self._watch = watch
        self.reports: list[StageReport] = []
        """Of all stages so far, in order."""

    def run(
        self, stage: Stage, *, holds: Callable[[Mapping[str, Any]], bool] = lambda _: True
    ) -> StageReport:
        """Run a stage, or skip it.

        Args:
            stage: What to run.
            holds: Whether what the finished stage reported is still so; if not, it is run again.

        Raises:
            FeatureStoreError: Whatever the stage raises, after it was reported.
        """
        started = time.monotonic()
        try:
            report = self._run(stage, started, holds)
        except BaseException as error:
            told = f"{type(error).__name__}: {error}".rstrip(": ")
            self._report(StageReport(stage.name, "failed", time.monotonic() - started, error=told))
            raise
        self._report(report)
        return report

    def _run(self, stage: Stage, started: float, holds: Callable[[Mapping[str, Any]], bool]) -> StageReport:
        reads = stage.reads()
        finished = self._finished(_mark_path(stage, reads))
        if finished is not None and holds(finished.facts):
            return StageReport(stage.name, "skipped", time.monotonic() - started, finished.facts)
        outcome = stage.run()
        if outcome.left is None:
            self._mark(stage, reads, outcome)
        status: StageStatus = "done" if outcome.left is None else "left"
        return StageReport(stage.name, status, time.monotonic() - started, outcome.facts, outcome.left)

    def _finished(self, path: str) -> StageOutcome | None:
        if path not in self._objects.list(path):
            return None
        outcome = StageOutcome.model_validate_json(self._objects.read(path))
        return outcome if outcome.again_at is None or datetime.now(UTC) < outcome.again_at else None

    def _mark(self, stage: Stage, reads: Mapping[str, Any], outcome: StageOutcome) -> None:
        """Keep one mark a stage: the newest."""
        path = _mark_path(stage, reads)
        for other in self._objects.list(_folder(stage)):
            self._objects.delete(other)
        self._objects.put_new(path, canonical_json(outcome.model_dump(mode="json")).encode())

    def _report(self, report: StageReport) -> None:
        self.reports.append(report)
        self._watch.finished(report)


def _mark_path(stage: Stage, reads: Mapping[str, Any]) -> str:
    state = {"reads": reads, "writes": stage.writes(), "product": product_version()}
    return f"{_folder(stage)}{digest(state)}.json"


def _folder(stage: Stage) -> str:
    return f"refresh/{stage.name}/"
