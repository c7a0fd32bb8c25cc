"""The job that `kill_harness` kills: generate, then compact; it notes in a journal how far it has come.

Lines of the journal: ``asked KEY``, ``flushed KEY`` (the row is on disk), ``begin PHASE``, ``end PHASE``.
"""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from generation_world import CountingEngine, item_cot, run
from nights import compact_now

from featurestore.jobs.answers import ANSWERS_TABLE
from featurestore.jobs.committer import CommitPace, Committer
from featurestore.jobs.log import RunLog
from featurestore.stores import connect
from featurestore.stores.lancedb_store import LanceStore
from llm_jobs.engine import Request
from llm_jobs.engines.echo import EchoOptions

# Jobs are forked from a server that loads this module; nothing of Lance runs in it, so its warnings of forks
# do not apply.
warnings.filterwarnings("ignore", message="lance.*fork")

CONCURRENCY: Final = 8
LATENCY: Final = 0.01
PACE: Final = CommitPace(flush_seconds=0.02, commit_seconds=0.05, commit_rows=20)
MOST_UNFLUSHED: Final = CONCURRENCY * (1 + round(PACE.flush_seconds / (0.5 * LATENCY)) + 2)
"""One flush window: what is in flight, and what the engine can answer between two flushes."""

Note = Callable[[str], None]


def work(folder: str) -> None:
    """Bring the texts of the shop up to date, then compact its tables."""
    descriptor = os.open(Path(folder) / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(line: str) -> None:
        os.write(descriptor, f"{line}\n".encode())

    class Engine(CountingEngine):
        def submit(self, requests: Sequence[Request]) -> None:
            for request in requests:
                note(f"asked {request.key}")
            super().submit(requests)

    _note_flushes(note)
    _note_phases(note)
    note("begin run")
    store = connect(f"{folder}/store")
    engine = Engine(EchoOptions(latency_seconds=LATENCY, concurrency=CONCURRENCY))
    run(store, Path(folder) / "work", engine, pace=PACE)
    compact_now(store, item_cot())


def _note_flushes(note: Note) -> None:
    append, flush, pending = RunLog.append, RunLog.flush, dict[Path, list[str]]()

    def noted_append(log: RunLog, record: Mapping[str, Any]) -> None:
        append(log, record)
        pending.setdefault(log.path, []).append(record["request_key"])

    def noted_flush(log: RunLog) -> None:
        flush(log)
        for key in pending.pop(log.path, []):
            note(f"flushed {key}")

    RunLog.append = noted_append
    RunLog.flush = noted_flush


def _note_phases(note: Note) -> None:
    upsert = LanceStore.upsert

    def noted_upsert(store: LanceStore, table: str, rows: pa.Table, *, key: str) -> Any:
        phase = "cache" if table == ANSWERS_TABLE else "commit"
        return _noted(note, phase, upsert)(store, table, rows, key=key)

    LanceStore.upsert = noted_upsert
    LanceStore.compact = _noted(note, "compaction", LanceStore.compact)
    Committer.recover = _noted(note, "recovery", Committer.recover)


def _noted(note: Note, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def noted(*arguments: Any, **named: Any) -> Any:
        note(f"begin {phase}")
        try:
            return function(*arguments, **named)
        finally:
            note(f"end {phase}")

    return noted
