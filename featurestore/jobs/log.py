"""The run log: finished work on disk before it is in the store.

A log is a file of lines ``<digest of the record> <record as JSON>``. It exists exactly as long as its records
may be missing from the store, so recovery is to replay every log that is found, and then remove it.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from featurestore.ids import DIGEST_LENGTH, digest_bytes

SUFFIX = ".log"


class RunLog:
    """An append-only file of checksummed records. One writer.

    Args:
        folder: Where the log lies; made if absent.
        name: File name without suffix: a run id, and a number if the run writes several.

    Raises:
        FileExistsError: If such a log exists: a log is never continued.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}{SUFFIX}"
        self._pending: list[bytes] = []
        self._num_durable_bytes = 0
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        _sync_folder(folder)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record, in memory until `flush`."""
        self._pending.append(encode_record(record))

    def flush(self) -> None:
        """Write what was appended and wait until the disk has it.

        Raises:
            OSError: If the disk is full or fails; the file ends with the last flush that succeeded, and the
                records stay pending.
        """
        if not self._pending:
            return
        data = memoryview(b"".join(self._pending))
        size = len(data)
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError:
            self._rewind()
            raise
        self._pending.clear()
        self._num_durable_bytes += size

    def close(self) -> None:
        """Close the file, without flushing. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Delete the log: its records are in the store."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _rewind(self) -> None:
        os.ftruncate(self._descriptor, self._num_durable_bytes)
        os.lseek(self._descriptor, self._num_durable_bytes, os.SEEK_SET)


def find_logs(folder: Path) -> list[Path]:
    """All logs in a folder, oldest run first; empty if there is no folder."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The intact records of a log, in order."""
    with path.open("rb") as lines:
        yield from decode_records(lines)


def encode_record(record: Mapping[str, Any]) -> bytes:
    """The line of a record."""
    body = json.dumps(record, separators=(",", ":")).encode()
    return b"%s %s\n" % (digest_bytes(body).encode(), body)


def decode_records(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The intact records among lines, in order.

    A torn last line, as a crash leaves it, and lines whose digest does not fit are left out: their work is
    missing from the store, so the next plan finds it stale and does it again.
    """
    for line in lines:
        stated, body = line[:DIGEST_LENGTH], line[DIGEST_LENGTH + 1 : -1]
        if line.endswith(b"\n") and stated == digest_bytes(body).encode():
            yield json.loads(body)


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable, where the platform can open a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
