"""Log segments and receipts: how work that ran elsewhere, perhaps more than once, reaches the one committer.

An attempt at a shard writes its rows and the answers it got as one immutable segment, then a receipt that
names it. A shard has one receipt: of several attempts the first to write it wins, and a segment without a
receipt counts for nothing.
Objects are ``segments/<run>/<shard>.<attempt>.log`` and ``segments/<run>/<shard>.receipt``.
"""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, Final

from featurestore.errors import MissingVersionError, StoreError
from featurestore.ids import canonical_json, digest_bytes
from featurestore.jobs.answers import CachedAnswer
from featurestore.jobs.log import decode_records, encode_record
from featurestore.objects import same_object
from featurestore.spec import Frozen
from featurestore.store import ObjectStore

_FOLDER: Final = "segments/"
_RECEIPT: Final = ".receipt"

_NO_ANSWERS: Final[Mapping[str, CachedAnswer]] = MappingProxyType({})

TableRow = tuple[str, Mapping[str, Any]]
"""A table's name and a finished row of it."""


class Receipt(Frozen):
    """The one accepted attempt at a shard."""

    shard_id: str
    attempt: str
    segment: str
    """Path of the segment among the store's objects."""
    tables: tuple[str, ...]
    """Tables that the rows are for, sorted."""
    num_rows: int
    digest: str
    """128-bit blake3 of the segment's bytes."""


class DamagedSegmentError(StoreError):
    """A segment is not what its receipt says."""


def write_segment(
    objects: ObjectStore,
    run_id: str,
    shard_id: str,
    attempt: str,
    rows: Iterable[TableRow],
    *,
    answers: Mapping[str, CachedAnswer] = _NO_ANSWERS,
) -> Receipt:
    """Keep what an attempt made of a shard, and claim the shard for it.

    Args:
        objects: The store's objects.
        run_id: The run that the shard belongs to.
        shard_id: Unique within the run; no slash.
        attempt: Unique among the shard's attempts, such as a random word; no slash or dot.
        rows: All of the shard, as table and row; some ten thousand at most.
        answers: What the attempt asked and was answered, by request key, for the cache of all jobs.

    Returns:
        The shard's receipt: of this attempt, or of the one that came first.

    Raises:
        StoreError: If this attempt wrote another segment before, or the store cannot be written.
        StorageFullError: If there is no room.
    """
    listed = list(rows)
    records = [{"table": table, "row": row} for table, row in listed]
    told = [{"request_key": key, "answer": asdict(answer)} for key, answer in answers.items()]
    data = b"".join(encode_record(record) for record in [*records, *told])
    segment = f"{_FOLDER}{run_id}/{shard_id}.{attempt}.log"
    if not same_object(objects, segment, data):
        raise StoreError(
            f"attempt {attempt!r} at shard {shard_id!r} has written another segment before.",
            hint="Give every attempt a name of its own.",
        )
    receipt = Receipt(
        shard_id=shard_id,
        attempt=attempt,
        segment=segment,
        tables=tuple(sorted({table for table, _ in listed})),
        num_rows=len(listed),
        digest=digest_bytes(data),
    )
    path = f"{_FOLDER}{run_id}/{shard_id}{_RECEIPT}"
    stated = canonical_json(receipt.model_dump(mode="json")).encode()
    return receipt if same_object(objects, path, stated) else _read_receipt(objects, path)


def read_receipts(objects: ObjectStore, run_id: str) -> list[Receipt]:
    """The receipts of a run, in order of their shards."""
    paths = objects.list(f"{_FOLDER}{run_id}/")
    return [_read_receipt(objects, path) for path in paths if path.endswith(_RECEIPT)]


def read_segment(objects: ObjectStore, receipt: Receipt) -> list[TableRow]:
    """The rows that a receipt stands for.

    Raises:
        DamagedSegmentError: If the segment is not what was written.
        MissingVersionError: If it is gone.
    """
    data = objects.read(receipt.segment)
    rows = [(record["table"], record["row"]) for record in _records(data) if "row" in record]
    if digest_bytes(data) != receipt.digest or len(rows) != receipt.num_rows:
        raise DamagedSegmentError(
            f"the segment {receipt.segment!r} is damaged: {len(rows)} of {receipt.num_rows} rows are intact.",
            hint="Run the command again: what it held will be made anew.",
        )
    return rows


def read_answers(objects: ObjectStore, receipt: Receipt) -> dict[str, CachedAnswer]:
    """What the accepted attempt was answered, by request key."""
    records = _records(objects.read(receipt.segment))
    return {
        record["request_key"]: CachedAnswer(**record["answer"]) for record in records if "answer" in record
    }


def read_intact_segments(objects: ObjectStore, run_id: str) -> list[TableRow]:
    """The rows of all receipts of an interrupted run; those of a damaged segment are left out.

    Their work is missing from the store, so the next plan finds it stale and does it again.
    """
    rows: list[TableRow] = []
    for receipt in read_receipts(objects, run_id):
        with contextlib.suppress(DamagedSegmentError, MissingVersionError):
            rows += read_segment(objects, receipt)
    return rows


def replace_segment(objects: ObjectStore, run_id: str, receipt: Receipt, rows: Iterable[TableRow]) -> Receipt:
    """Let a shard's receipt stand for other rows, and remove the segment that it stood for.

    A crash in between loses the shard at worst: its work is done again.

    Raises:
        StorageFullError: If there is no room.
    """
    attempt = f"{receipt.attempt}-again"
    objects.delete(f"{_FOLDER}{run_id}/{receipt.shard_id}{_RECEIPT}")
    written = write_segment(objects, run_id, receipt.shard_id, attempt, rows)
    objects.delete(receipt.segment)
    return written


def unclaimed_segments(objects: ObjectStore, run_id: str) -> list[str]:
    """Paths of a run's segments that no receipt stands for."""
    claimed = {receipt.segment for receipt in read_receipts(objects, run_id)}
    paths = objects.list(f"{_FOLDER}{run_id}/")
    return [path for path in paths if not path.endswith(_RECEIPT) and path not in claimed]


def tables_of_run(objects: ObjectStore, run_id: str) -> set[str]:
    """Tables that a run with segments writes; empty if nothing says so yet."""
    if receipts := read_receipts(objects, run_id):
        return {table for receipt in receipts for table in receipt.tables}
    for path in objects.list(f"{_FOLDER}{run_id}/"):
        with contextlib.suppress(MissingVersionError):
            if tables := {record["table"] for record in _records(objects.read(path)) if "row" in record}:
                return tables
    return set()


def runs_with_segments(objects: ObjectStore) -> list[str]:
    """Ids of all runs that left segments, oldest first."""
    return sorted({path.split("/")[1] for path in objects.list(_FOLDER)})


def remove_segments(objects: ObjectStore, run_id: str) -> None:
    """Delete all of a run, once its rows are in the store: first the receipts, so that none is left alone."""
    paths = objects.list(f"{_FOLDER}{run_id}/")
    for path in sorted(paths, key=lambda path: path.endswith(_RECEIPT), reverse=True):
        objects.delete(path)


def _records(data: bytes) -> list[Any]:
    return list(decode_records(data.splitlines(keepends=True)))


def _read_receipt(objects: ObjectStore, path: str) -> Receipt:
    return Receipt.model_validate_json(objects.read(path))
