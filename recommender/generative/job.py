"""The batch job: lists of all users into the store, at-least-once work, exactly-once rows.

Finished lists go to a log, a flush per batch (`featurestore.jobs.log`). When all are there, the table is
written as one version under its lock, and the log goes. A job that was killed goes on from its log: what was
flushed is not decoded again, and a reader sees the whole table or none. The table's name holds the digest of
weights, release and length, so a table that is there is complete.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from featurestore import columns as c
from featurestore import schema
from featurestore.errors import UsageError
from featurestore.features import FeatureRegistry
from featurestore.id_maps import IdMap
from featurestore.ids import RowArray
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.log import RunLog, find_logs, read_records
from featurestore.jobs.runcard import new_run_id
from featurestore.objects import disk_errors
from featurestore.progress import Progress, no_progress
from featurestore.reader import Release
from featurestore.spec import RecommendationsSpec, table_name
from featurestore.store import Store
from recommender.data import FloatArray, IntArray

_ITEMS: Final = "items"
_SCORES: Final = "scores"


class WritesLists(Protocol):
    """What the job asks for lists."""

    def __call__(self, users: RowArray) -> tuple[IntArray, FloatArray]:
        """(n, k) int64 item rows, -1 where a list ends, and (n, k) float32 scores of (n,) user rows."""
        ...


@dataclass(frozen=True, slots=True)
class ListsReport:
    """What a job did.

    Attributes:
        table: Where the lists are.
        num_users: Users of the release, each with a list.
        num_recovered: Lists that an earlier job had flushed.
        num_written: Lists that this job decoded.
        seconds: It took.
    """

    table: str
    num_users: int
    num_recovered: int
    num_written: int
    seconds: float


def write_lists(
    store: Store,
    lists: WritesLists,
    release: Release,
    *,
    name: str,
    model_digest: str,
    top_k: int,
    logs: Path,
    batch_size: int = 512,
    progress: Progress = no_progress,
) -> ListsReport:
    """Store the lists of all users of a release, for the next release to pin.

    Args:
        store: The release's store.
        lists: Of users of the release.
        release: Gives users, and ids of items.
        name: Of the feature, such as ``isrf``.
        model_digest: Of everything that lists depend on besides the release.
        top_k: Items of a list.
        logs: Folder of logs, ``.featurestore/logs`` of a project.
        batch_size: Users between two flushes.
        progress: Told about users.

    Raises:
        UsageError: If ``name`` cannot name a feature, or ``top_k`` is not positive.
        LockHeldError: If another job writes these lists.
        StorageFullError: If a disk is full; what was flushed stays.
    """
    started = time.monotonic()
    spec = _spec(name, model_digest, release, top_k)
    table, users = table_name(spec), release.id_map("user")
    known = users.known_rows()
    with FeatureLock(store.objects, table) as lock:
        logs_before = find_logs(logs / table)
        finished = {r[c.USER_ID]: r for path in logs_before for r in read_records(path)}
        num_recovered = len(finished)
        if store.latest(table) is None:
            rest = np.array([row for row in known if users.ids[row] not in finished], np.int64)
            with disk_errors(f"the log of {table!r} in {logs}"):
                log = RunLog(logs / table, new_run_id())
            with closing(log):
                for start in range(0, len(rest), batch_size):
                    part = rest[start : start + batch_size]
                    done = list(_records(part, lists(part), users, release.id_map("item")))
                    lock.check()
                    _flush(log, done)
                    finished |= {record[c.USER_ID]: record for record in done}
                    progress(len(finished), len(known), "users")
                lock.check()
                store.replace(table, _rows([finished[users.ids[row]] for row in known]))
                log.remove()
        FeatureRegistry(store).register(spec)
        for path in logs_before:
            path.unlink()
    num_written = len(finished) - num_recovered
    return ListsReport(table, len(known), num_recovered, num_written, time.monotonic() - started)


def _spec(name: str, model_digest: str, release: Release, top_k: int) -> RecommendationsSpec:
    try:
        return RecommendationsSpec(
            feature=name,
            view="top",
            entity="user",
            model=name,
            config_digest=model_digest,
            release=str(release.number),
            top_k=top_k,
        )
    except ValidationError as error:
        found = error.errors()[0]
        raise UsageError(
            f"lists named {name!r} of {top_k} items cannot be stored: {found['loc'][0]}: {found['msg']}.",
            hint="Use letters, digits, - and _, at most 64, for a name; lists have one item at least.",
        ) from error


def _flush(log: RunLog, records: list[dict[str, Any]]) -> None:
    with disk_errors(f"the log {log.path}"):
        for record in records:
            log.append(record)
        log.flush()


def _records(
    rows: RowArray, found: tuple[IntArray, FloatArray], users: IdMap, items: IdMap
) -> Iterator[dict[str, Any]]:
    for row, line, scores in zip(rows, *found, strict=True):
        kept = line >= 0
        names = items.ids_of(line[kept])
        yield {c.USER_ID: users.ids[row], _ITEMS: list(names), _SCORES: scores[kept].tolist()}


def _rows(records: list[Mapping[str, Any]]) -> pa.Table:
    lengths = [len(record[_ITEMS]) for record in records]
    columns = [
        pa.array(np.repeat([record[c.USER_ID] for record in records], lengths).tolist(), pa.string()),
        pa.array([item for record in records for item in record[_ITEMS]], pa.string()),
        pa.array(np.concatenate([np.arange(n) for n in lengths] or [np.zeros(0)]).astype(np.int32)),
        pa.array([score for record in records for score in record[_SCORES]], pa.float32()),
    ]
    return pa.Table.from_arrays(columns, schema=schema.RECOMMENDATIONS)
