"""The answer cache: what engines answered, by request key, for all jobs and features of a store.

A request key covers everything that can change an answer (conversation, model, sampling, schema, engine
class, sample index), so an answer may serve any row whose request is the same. The cache is a convenience: an
entry that is lost costs one request, and no row depends on it.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from featurestore import columns as c
from featurestore.errors import LockHeldError, MissingIdsError, MissingVersionError
from featurestore.jobs.lock import FeatureLock, wait_for_lock
from featurestore.store import Store

ANSWERS_TABLE: Final = "cache.answers"
_LEASE_SECONDS: Final = 30.0
"""A job holds the cache's lock for one batch only; one that hangs inside blocks others for so long."""
_SCHEMA: Final = pa.schema(
    [
        pa.field(c.REQUEST_KEY, pa.string(), nullable=False),
        pa.field(c.TEXT, pa.string(), nullable=False),
        pa.field(c.FINISH_REASON, pa.string(), nullable=False),
        pa.field(c.PROMPT_TOKENS, pa.int32(), nullable=False),
        pa.field(c.OUTPUT_TOKENS, pa.int32(), nullable=False),
        pa.field(c.RUN_ID, pa.string(), nullable=False),
    ]
)
_PATIENCE_SECONDS: Final = 60.0
_ROWS_PER_UPSERT: Final = 4000
_DUE_ROWS: Final = 2000
_DUE_SECONDS: Final = 60.0
_MOST_PENDING: Final = 20_000
_BLOCK_ROWS: Final = 256
_BLOCKS_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """What an engine once answered a request with.

    Attributes:
        text: Raw output, as the caller wants to have it again.
        finish_reason: ``stop`` or ``length``.
        prompt_tokens: What it took then.
        output_tokens: What it took then.
    """

    text: str
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    output_tokens: int


def answers_lock(store: Store) -> AbstractContextManager[FeatureLock]:
    """The right to write the cache, for one batch; waits for others.

    Raises:
        LockHeldError: On entering, if others keep it for a minute.
    """
    return wait_for_lock(
        store.objects, ANSWERS_TABLE, patience_seconds=_PATIENCE_SECONDS, lease_seconds=_LEASE_SECONDS
    )


class AnswerCache:
    """Finds and keeps answers. A context manager: leaving it writes what is pending.

    The keys are read once, at the first look-up: 100 bytes of memory each. A miss then costs some
    microseconds; a hit reads its answer together with those stored next to it, which are likely to be asked
    for next.

    Args:
        store: Holds the table ``cache.answers``, made on the first write.
        run_id: Goes into every entry: the newest unused ones are kept when the cache is trimmed.
    """

    def __init__(self, store: Store, *, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._index: _KeyIndex | None = None
        self._pending: dict[str, CachedAnswer] = {}
        self._pending_since = 0.0
        self._blocks: OrderedDict[int, Mapping[str, CachedAnswer]] = OrderedDict()
        self.num_lost = 0
        """Answers that were given up because others held the cache's lock for too long."""

    def find(self, key: str) -> CachedAnswer | None:
        """The answer to the request of this key, if it is known.

        Raises:
            StoreError: If the store is damaged.
        """
        if (pending := self._pending.get(key)) is not None:
            return pending
        index = self._index
        if index is None:
            index = self._index = _KeyIndex(self._stored_keys())
        position = index.position(key)
        return None if position is None else self._block(index, position // _BLOCK_ROWS).get(key)

    def add(self, key: str, answer: CachedAnswer) -> None:
        """Keep an answer; nothing is written before `tick` or `flush`."""
        if not self._pending:
            self._pending_since = time.monotonic()
        elif len(self._pending) >= _MOST_PENDING:
            del self._pending[next(iter(self._pending))]
            self.num_lost += 1
        self._pending[key] = answer

    def tick(self) -> None:
        """Write what is pending if it is much or old; call it often.

        Raises:
            StorageFullError: If the disk is full.
            StoreError: If the store refuses the rows.
        """
        is_old = self._pending and time.monotonic() - self._pending_since >= _DUE_SECONDS
        if is_old or len(self._pending) >= _DUE_ROWS:
            self.flush()

    def flush(self) -> int:
        """Write what is pending, under the cache's lock. It stays pending while others keep the lock.

        Returns:
            How many entries were written.

        Raises:
            StorageFullError: If the disk is full.
            StoreError: If the store refuses the rows.
        """
        entries = list(self._pending.items())
        try:
            for start in range(0, len(entries), _ROWS_PER_UPSERT):
                self._write(entries[start : start + _ROWS_PER_UPSERT])
        except LockHeldError:
            self._pending_since = time.monotonic()
        return len(entries) - len(self._pending)

    def __enter__(self) -> "AnswerCache":
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.flush()

    def _write(self, entries: Sequence[tuple[str, CachedAnswer]]) -> None:
        rows = pa.Table.from_pylist([self._row(*entry) for entry in entries], schema=_SCHEMA)
        with answers_lock(self._store) as lock:
            lock.check()
            self._store.upsert(ANSWERS_TABLE, rows, key=c.REQUEST_KEY)
        keys = [key for key, _ in entries]
        for key in keys:
            del self._pending[key]
        if self._index is not None:
            self._blocks.pop(self._index.num_keys // _BLOCK_ROWS, None)
            self._index.extend(keys)

    def _row(self, key: str, answer: CachedAnswer) -> dict[str, Any]:
        return {
            c.REQUEST_KEY: key,
            c.TEXT: answer.text,
            c.FINISH_REASON: answer.finish_reason,
            c.PROMPT_TOKENS: answer.prompt_tokens,
            c.OUTPUT_TOKENS: answer.output_tokens,
            c.RUN_ID: self._run_id,
        }

    def _stored_keys(self) -> Sequence[str]:
        if self._store.latest(ANSWERS_TABLE) is None:
            return ()
        return self._store.read(ANSWERS_TABLE, columns=[c.REQUEST_KEY])[c.REQUEST_KEY].to_pylist()

    def _block(self, index: "_KeyIndex", number: int) -> Mapping[str, CachedAnswer]:
        if (block := self._blocks.get(number)) is not None:
            return block
        try:
            block = self._blocks[number] = self._read(index.keys_of_block(number))
        except (MissingIdsError, MissingVersionError):
            # Another job has trimmed the cache: what is left is read at the next look-up.
            self._index = None
            self._blocks.clear()
            return {}
        if len(self._blocks) > _BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return block

    def _read(self, keys: Sequence[str]) -> Mapping[str, CachedAnswer]:
        rows = self._store.read(ANSWERS_TABLE, ids=keys, key=c.REQUEST_KEY)
        columns = (c.REQUEST_KEY, c.TEXT, c.FINISH_REASON, c.PROMPT_TOKENS, c.OUTPUT_TOKENS)
        listed = zip(*(rows[name].to_pylist() for name in columns), strict=True)
        return {key: CachedAnswer(*answer) for key, *answer in listed}


class _KeyIndex:
    """Positions of keys in the order they were stored, found by binary search over their first 64 bits."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = list(keys)
        prefixes = _prefixes(keys)
        self._positions = np.argsort(prefixes, kind="stable")
        self._prefixes = prefixes[self._positions]

    @property
    def num_keys(self) -> int:
        return len(self._keys)

    def position(self, key: str) -> int | None:
        prefix = _prefixes([key])[0]
        at = int(np.searchsorted(self._prefixes, prefix))
        while at < len(self._prefixes) and self._prefixes[at] == prefix:
            if self._keys[self._positions[at]] == key:
                return int(self._positions[at])
            at += 1
        return None

    def keys_of_block(self, number: int) -> list[str]:
        return self._keys[number * _BLOCK_ROWS : (number + 1) * _BLOCK_ROWS]

    def extend(self, keys: Sequence[str]) -> None:
        new = sorted(key for key in keys if self.position(key) is None)
        prefixes = _prefixes(new)
        places = np.searchsorted(self._prefixes, prefixes)
        self._positions = np.insert(self._positions, places, np.arange(len(new)) + self.num_keys)
        self._prefixes = np.insert(self._prefixes, places, prefixes)
        self._keys += new


def _prefixes(keys: Sequence[str]) -> npt.NDArray[np.uint64]:
    return np.fromiter((int(key[:16], 16) for key in keys), dtype=np.uint64, count=len(keys))
