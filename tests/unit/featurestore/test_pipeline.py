"""A pipeline: a stage is skipped only if nothing it reads or has written changed since it was finished."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from featurestore.errors import InputError
from featurestore.progress import Progress, RunProgress, no_progress, no_run_progress
from featurestore.refresh.pipeline import Pipeline, StageOutcome, StageReport
from featurestore.stores.memory import MemoryStore


class _Watch:
    def __init__(self) -> None:
        self.reports: list[StageReport] = []

    @contextmanager
    def progress(self, stage: str) -> Generator[Progress]:
        yield no_progress

    @contextmanager
    def run_progress(self, stage: str) -> Generator[RunProgress]:
        yield no_run_progress

    def finished(self, report: StageReport) -> None:
        self.reports.append(report)


@dataclass
class _Doubling:
    """Keeps ``written`` at twice ``source``."""

    source: int = 1
    written: int | None = None
    outcome: StageOutcome = field(default_factory=StageOutcome)
    runs: int = 0
    name: str = "doubling"

    def reads(self) -> Mapping[str, Any]:
        return {"source": self.source}

    def writes(self) -> Mapping[str, Any]:
        return {"written": self.written}

    def run(self) -> StageOutcome:
        if self.source < 0:
            raise InputError("it is negative.")
        self.runs += 1
        self.written = 2 * self.source
        return self.outcome.model_copy(update={"facts": {"written": self.written}})


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def _run(store: MemoryStore, stage: _Doubling) -> StageReport:
    return Pipeline(store, _Watch()).run(stage)


def test_a_finished_stage_is_skipped_and_says_what_it_came_to(store: MemoryStore) -> None:
    stage = _Doubling()
    first, second = _run(store, stage), _run(store, stage)
    assert (first.status, second.status, stage.runs) == ("done", "skipped", 1)
    assert first.facts == second.facts == {"written": 2}


def test_what_it_reads_and_what_it_left_both_wake_it(store: MemoryStore) -> None:
    stage = _Doubling()
    _run(store, stage)
    stage.source = 3
    assert _run(store, stage).status == "done"
    stage.written = 5
    assert _run(store, stage).status == "done"
    assert stage.written == 6
    assert len(store.objects.list("refresh/doubling/")) == 1, "one mark a stage, however many nights"


def test_what_remains_to_do_is_done_the_next_night(store: MemoryStore) -> None:
    stage = _Doubling(outcome=StageOutcome(left="10 entities are over the limit of 5"))
    report = _run(store, stage)
    assert (report.status, report.left) == ("left", "10 entities are over the limit of 5")
    assert _run(store, stage).status == "left"


def test_a_stage_sleeps_until_its_hour(store: MemoryStore) -> None:
    now = datetime.now(UTC)
    sleeping = _Doubling(outcome=StageOutcome(again_at=now + timedelta(hours=1)))
    _run(store, sleeping)
    assert _run(store, sleeping).status == "skipped"
    due = _Doubling(outcome=StageOutcome(again_at=now - timedelta(seconds=1)), name="due")
    _run(store, due)
    assert _run(store, due).status == "done"


def test_a_stage_that_failed_is_reported_and_not_marked(store: MemoryStore) -> None:
    watch, stage = _Watch(), _Doubling(source=-1)
    pipeline = Pipeline(store, watch)
    with pytest.raises(InputError):
        pipeline.run(stage)
    (report,) = pipeline.reports
    assert watch.reports == [report]
    assert (report.status, report.error) == ("failed", "InputError: it is negative.")
    assert report.as_dict().keys() == {"name", "status", "seconds", "facts", "error"}
    assert store.objects.list("refresh/") == []
