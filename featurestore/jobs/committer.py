"""The one committer of a job: rows go to a log first, then in bounded batches into the store's tables.

At any moment a row is in memory (at most one flush window), in a log, or in the store. A log lives until its
rows are in the store, so the logs of a table never hold more than the batches that wait for their commit.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import pyarrow as pa

from featurestore import columns as c
from featurestore.errors import StorageFullError, StoreError
from featurestore.features import FeatureRegistry
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.log import RunLog, find_logs, read_records
from featurestore.jobs.receipts import (
    Receipt,
    read_intact_segments,
    read_segment,
    remove_segments,
    runs_with_segments,
    tables_of_run,
)
from featurestore.objects import disk_errors
from featurestore.spec import AnySpec, table_name
from featurestore.store import Store

_ROWS_PER_UPSERT: Final = 4000
_WAITING_COMMITS: Final = 4
"""Batches that may wait for a slow store before `Committer.tick` waits for it too."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CommitPace:
    """How long finished rows may stay where a crash, or a reader, cannot see them.

    Attributes:
        flush_seconds: A row is in the log after this time at the latest; kill -9 costs this much work.
        commit_seconds: A row is in the store after this time at the latest.
        commit_rows: A batch this large is committed at once.
    """

    flush_seconds: float = 5.0
    commit_seconds: float = 10.0
    commit_rows: int = 2000


@dataclass(frozen=True, slots=True)
class CommitTarget:
    """A feature version that a job writes: its spec, its rows' schema, and the lock that allows it."""

    spec: AnySpec
    schema: pa.Schema
    lock: FeatureLock

    @property
    def table(self) -> str:
        """Name of the table that holds the rows."""
        return table_name(self.spec)


@dataclass(slots=True)
class _Batch:
    """Rows of one table between two commits. ``rows`` is the truth; the log lags behind it."""

    opened_at: float
    rows: list[Row] = field(default_factory=list[Row])
    num_logged: int = 0
    log: RunLog | None = None


class Committer:
    """Writes the rows of one run. A context manager: leaving it commits everything, whatever happened.

    Rows need the columns ``id`` (one row per id, table and run) and ``run_id`` (run ids sort by time).

    Args:
        store: Where rows end up.
        targets: The feature versions to write.
        folder: Local folder of the logs, one subfolder per table.
        run_id: This run.
        pace: When to flush and to commit.
    """

    def __init__(
        self,
        store: Store,
        targets: Sequence[CommitTarget],
        *,
        folder: Path,
        run_id: str,
        pace: CommitPace | None = None,
    ) -> None:
        self._store = store
        self._targets = {target.table: target for target in targets}
        self._folder = folder
        self._run_id = run_id
        self._pace = pace or CommitPace()
        self._batches: dict[str, _Batch] = {}
        self._num_batches = 0
        self._flushed_at = time.monotonic()
        self._commits: deque[Future[None]] = deque()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="committer")
        self._registered: set[str] = set()
        self._has_segments = False
        self.num_committed = 0
        """Rows this run has committed."""

    def recover(self) -> int:
        """Bring the rows of interrupted runs into the store. Call it before planning.

        Returns:
            How many rows were in a log or segment and not in the store.
        """
        recovered = sum(self._recover_table(target) for target in self._targets.values())
        return recovered + sum(self._recover_run(run) for run in runs_with_segments(self._store.objects))

    def add(self, table: str, row: Row) -> None:
        """Take a finished row. Cheap: nothing is written before `tick`."""
        batch = self._batches.get(table)
        if batch is None:
            batch = self._batches[table] = _Batch(opened_at=time.monotonic())
        batch.rows.append(row)

    def add_segment(self, receipt: Receipt) -> None:
        """Take the rows of a shard that was done elsewhere. Its segment goes when all rows are committed.

        Raises:
            StoreError: If the segment is damaged.
        """
        for table, row in read_segment(self._store.objects, receipt):
            self.add(table, row)
        self._has_segments = True

    def tick(self) -> None:
        """Flush and commit what is due; call it often.

        Raises:
            LockHeldError: If another job took over.
            StorageFullError: If the disk is full.
            StoreError: If the store refuses rows.
        """
        self._raise_failures()
        now = time.monotonic()
        if now - self._flushed_at >= self._pace.flush_seconds:
            self._flush()
            self._flushed_at = now
        for table, batch in list(self._batches.items()):
            old = now - batch.opened_at >= self._pace.commit_seconds
            if old or len(batch.rows) >= self._pace.commit_rows:
                self._flush_batch(table, batch)
                self._hand_over(table)
                if len(self._commits) > _WAITING_COMMITS:
                    self._commits.popleft().result()

    def delete(self, table: str, ids: Sequence[str]) -> None:
        """Remove the rows of entities that are gone, under the same lock as commits."""
        target = self._targets[table]
        target.lock.check()
        self._store.delete(table, ids, key=c.ID)

    def rewrite(self, table: str, rows: pa.Table) -> None:
        """Replace stored rows by rows of equal ids, at once and under the same lock as commits."""
        target = self._targets[table]
        with disk_errors(f"{table!r}"):
            for start in range(0, rows.num_rows, _ROWS_PER_UPSERT):
                target.lock.check()
                self._store.upsert(table, rows.slice(start, _ROWS_PER_UPSERT), key=c.ID)

    def close(self) -> None:
        """Flush and commit every row, and wait for it. A full log disk does not keep rows from the store.

        Raises:
            LockHeldError: If another job took over.
            StorageFullError: If the disk is full; what was flushed is replayed by the next run.
            StoreError: If the store refuses rows.
        """
        failures: list[Exception] = []
        try:
            self._flush()
        except (StoreError, StorageFullError) as error:
            failures.append(error)
        for table in list(self._batches):
            self._hand_over(table)
        self._executor.shutdown(wait=True)
        failures += [error for commit in self._commits if isinstance(error := commit.exception(), Exception)]
        self._commits.clear()
        if failures:
            raise failures[-1]
        if self._has_segments:
            remove_segments(self._store.objects, self._run_id)

    def __enter__(self) -> "Committer":
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _flush(self) -> None:
        for table, batch in self._batches.items():
            self._flush_batch(table, batch)

    def _flush_batch(self, table: str, batch: _Batch) -> None:
        with disk_errors(f"the log of {table!r} in {self._folder}"):
            if batch.log is None:
                self._num_batches += 1
                batch.log = RunLog(self._folder / table, f"{self._run_id}-{self._num_batches:06d}")
            for row in batch.rows[batch.num_logged :]:
                batch.log.append(row)
            batch.num_logged = len(batch.rows)
            batch.log.flush()

    def _hand_over(self, table: str) -> None:
        batch = self._batches.pop(table)
        self._commits.append(self._executor.submit(self._commit, self._targets[table], batch))

    def _commit(self, target: CommitTarget, batch: _Batch) -> None:
        self._upsert(target, batch.rows)
        self.num_committed += len(batch.rows)
        if batch.log is not None:
            batch.log.remove()

    def _upsert(self, target: CommitTarget, rows: Sequence[Row]) -> None:
        with disk_errors(f"{target.table!r}"):
            for start in range(0, len(rows), _ROWS_PER_UPSERT):
                target.lock.check()
                chunk = [dict(row) for row in rows[start : start + _ROWS_PER_UPSERT]]
                self._store.upsert(target.table, pa.Table.from_pylist(chunk, schema=target.schema), key=c.ID)
            if target.table not in self._registered:
                FeatureRegistry(self._store).register(target.spec)
                self._registered.add(target.table)

    def _raise_failures(self) -> None:
        while self._commits and self._commits[0].done():
            self._commits.popleft().result()

    def _recover_table(self, target: CommitTarget) -> int:
        logs = find_logs(self._folder / target.table)
        recovered = self._upsert_missing(target, [record for path in logs for record in read_records(path)])
        for path in logs:
            path.unlink()
        return recovered

    def _recover_run(self, run_id: str) -> int:
        """Commit the segments of a run that wrote these tables: it is over, for its locks are held here."""
        objects = self._store.objects
        tables = tables_of_run(objects, run_id)
        if not tables or not tables <= set(self._targets):
            return 0
        rows: dict[str, list[Row]] = {table: [] for table in tables}
        for table, row in read_intact_segments(objects, run_id):
            rows[table].append(row)
        recovered = sum(self._upsert_missing(self._targets[table], rows[table]) for table in tables)
        remove_segments(objects, run_id)
        return recovered

    def _upsert_missing(self, target: CommitTarget, rows: Sequence[Row]) -> int:
        newest = {row[c.ID]: row for row in rows}
        stored = self._stored_runs(target.table) if newest else {}
        missing = [row for row in newest.values() if stored.get(row[c.ID], "") < row[c.RUN_ID]]
        if missing:
            self._upsert(target, missing)
        return len(missing)

    def _stored_runs(self, table: str) -> dict[str, str]:
        if self._store.latest(table) is None:
            return {}
        rows = self._store.read(table, columns=[c.ID, c.RUN_ID])
        return dict(zip(rows[c.ID].to_pylist(), rows[c.RUN_ID].to_pylist(), strict=True))
