"""What a job does after its last commit so that nightly runs do not fill the disk.

Small commits are merged, versions that nobody needs are removed, and the answer cache is trimmed. The bound
on what remains is in docs/exactly-once.md.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import polars as pl

from featurestore import columns as c
from featurestore.errors import LockHeldError
from featurestore.jobs.answers import ANSWERS_TABLE, answers_lock
from featurestore.jobs.committer import CommitTarget
from featurestore.readable_manifests import read_manifests
from featurestore.release import Manifest, ReleaseCatalog
from featurestore.splits import every_split
from featurestore.store import Store

_TEXT_PREFIX: Final = "text."
_INTERACTIONS: Final = "source.interactions"
_IDS_PER_DELETE: Final = 5000


@dataclass(frozen=True, slots=True)
class CompactionPolicy:
    """What remains after a run.

    Attributes:
        grace: Versions that were replaced more recently stay: a publish, a reader or an encoder that has
            begun to read one needs it for so long.
        unused_answers: Cached answers that no row refers to, the newest ones; answers that rows or releases
            refer to stay as long as these.
    """

    grace: timedelta = timedelta(hours=24)
    unused_answers: int = 100_000


def compact_after_run(
    store: Store, targets: Sequence[CommitTarget], policy: CompactionPolicy | None = None
) -> None:
    """Compact the tables that a run has written, and the answer cache. Call it with the targets' locks held.

    While a manifest is damaged, nobody knows what its release pins: files are merged, nothing is removed.

    Cost: what was written since the last merge, and a listing of the versions that are kept. While the cache
    holds more than ``unused_answers`` that the newest texts do not use, also the request keys of releases.

    Args:
        store: The store.
        targets: What the run wrote.
        policy: What remains.

    Raises:
        LockHeldError: If another job took over.
        StorageFullError: If there is no room for merged files; every row is committed all the same.
        StoreError: If the store is damaged.
    """
    policy = policy or CompactionPolicy()
    catalog = ReleaseCatalog(store)
    manifests = read_manifests(catalog, catalog.numbers()).if_all
    for target in targets:
        target.lock.check()
        keep = kept_versions(store, target.table, manifests)
        store.compact(target.table, keep_versions=keep, grace=policy.grace)
    if store.latest(ANSWERS_TABLE) is None:
        return
    # Another job that holds the cache's lock for long compacts it too.
    with suppress(LockHeldError), answers_lock(store) as lock:
        for keys in _unused_answers(store, manifests, policy.unused_answers) if manifests is not None else ():
            lock.check()
            store.delete(ANSWERS_TABLE, keys, key=c.REQUEST_KEY)
        lock.check()
        store.compact(ANSWERS_TABLE, keep_versions=(), grace=policy.grace)


def kept_versions(store: Store, table: str, manifests: Collection[Manifest] | None) -> set[int]:
    """Versions of a table that releases pin, or that a split was made of; all if manifests are unknown."""
    if manifests is None:
        return {each.version for each in store.versions(table)}
    kept = {pin.version for manifest in manifests for pin in manifest.pins if pin.table == table}
    if table == _INTERACTIONS:
        kept |= {split.interactions_version for split in every_split(store)}
    return kept


def _unused_answers(store: Store, manifests: Sequence[Manifest], limit: int) -> Iterator[list[str]]:
    """Keys to forget, in batches: what no text row refers to, but for the newest ``limit``."""
    version = store.latest(ANSWERS_TABLE)
    if version is None or version.num_rows <= limit:
        return
    unused = pl.DataFrame(store.read(ANSWERS_TABLE, columns=[c.REQUEST_KEY, c.RUN_ID]))
    for table, number in text_versions(store, manifests):
        if unused.height <= limit:
            return
        used = pl.DataFrame(store.read(table, version=number, columns=[c.REQUEST_KEY])).drop_nulls()
        unused = unused.join(used, on=c.REQUEST_KEY, how="anti", maintain_order="left")
    keys = unused.sort(c.RUN_ID, descending=True, maintain_order=True)[c.REQUEST_KEY].slice(limit)
    for start in range(0, len(keys), _IDS_PER_DELETE):
        yield keys.slice(start, _IDS_PER_DELETE).to_list()


def text_versions(store: Store, manifests: Sequence[Manifest]) -> Iterator[tuple[str, int | None]]:
    """All table versions that hold texts, once each: the newest first, for they use most of the answers."""
    for table in store.tables():
        if table.startswith(_TEXT_PREFIX):
            yield table, None
    pins = [pin for manifest in reversed(manifests) for pin in manifest.pins]
    yield from dict.fromkeys((pin.table, pin.version) for pin in pins if pin.spec.kind == "text")
