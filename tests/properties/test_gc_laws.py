"""Laws of garbage collection, over random histories of writes, releases, aliases and collections.

What a kept release holds is byte for byte what was published, verification is clean, and nothing is left but
what releases, heads and splits need.
"""

import contextlib
import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_samples import ITEM_IDS, add_graph, add_sources, add_texts, add_vectors

from featurestore.errors import MissingVersionError
from featurestore.features import FeatureRegistry
from featurestore.gates.policy import GatePolicy
from featurestore.reader import FeatureStore
from featurestore.release import Manifest, ReleaseCatalog
from featurestore.releases.gc import gc
from featurestore.releases.promote import promote, rollback
from featurestore.releases.publish import publish
from featurestore.releases.retention import GcPolicy
from featurestore.releases.verify import verify
from featurestore.spec import table_name
from featurestore.splits import every_split
from featurestore.store import Store
from featurestore.stores import connect

LENIENT = GatePolicy(
    max_duplicate_text_share=1.0,
    max_failure_rate=1.0,
    max_lost_texts=1.0,
    min_compared=1_000,
)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from("ab"), st.sets(st.sampled_from(ITEM_IDS), min_size=1)),
        st.tuples(st.just("split"), st.integers(0, 2)),
        st.tuples(st.just("publish"), st.sampled_from(["production", "canary", None])),
        st.tuples(st.just("promote"), st.sampled_from(["production", "canary"]), st.integers(0, 5)),
        st.tuples(st.just("rollback"), st.sampled_from(["production", "canary"])),
        st.tuples(st.just("gc"), st.integers(1, 3)),
    ),
    min_size=3,
    max_size=10,
)


def digest_of(store: Store, manifest: Manifest) -> str:
    """Every byte that readers of a release can get."""
    hasher = hashlib.sha256(manifest.model_dump_json().encode())
    release = FeatureStore(store).release(str(manifest.number))
    for pin in manifest.pins:
        rows = store.read(pin.table, version=pin.version)
        order = [(name, "ascending") for name in rows.column_names if rows[name].type == pa.string()]
        for name in sorted(rows.column_names):
            hasher.update(repr(rows.sort_by(order)[name].to_pylist()).encode())
        if pin.spec.kind == "vector":
            found = release.embeddings(pin.spec.feature, pin.spec.view)
            hasher.update(repr(found.ids).encode() + found.matrix.tobytes())
    return hasher.hexdigest()


@dataclass
class History:
    """A store, and what its releases held when they were published."""

    store: Store
    published: dict[int, str] = field(default_factory=dict)
    writes: int = 0

    def write(self, wording: str, ids: set[str]) -> None:
        """New texts of some items under one of two specs, and all that follows from them."""
        self.writes += 1
        text = add_texts(
            self.store, {i: f"{wording} {self.writes} of {i}" for i in sorted(ids)}, wording=wording
        )
        vectors = add_vectors(self.store, text, sorted(ids), seed=self.writes)
        stored = sorted(self.store.read(table_name(text), columns=["id"])["id"].to_pylist())
        add_graph(self.store, vectors, stored)

    def split(self, shift: int) -> None:
        add_sources(self.store, shift=shift)

    def publish(self, alias: str | None) -> None:
        number = publish(self.store, gates=LENIENT, alias=alias, carry=False).manifest.number
        manifest = ReleaseCatalog(self.store).manifest(number)
        self.published.setdefault(number, digest_of(self.store, manifest))

    def promote(self, alias: str, place: int) -> None:
        numbers = ReleaseCatalog(self.store).numbers()
        if numbers:
            promote(self.store, str(numbers[place % len(numbers)]), alias=alias)

    def rollback(self, alias: str) -> None:
        with contextlib.suppress(MissingVersionError):
            rollback(self.store, alias=alias)

    def gc(self, keep_releases: int) -> None:
        aliases = ReleaseCatalog(self.store).aliases()
        before = ReleaseCatalog(self.store).numbers()
        policy = GcPolicy(keep_releases=keep_releases, grace_hours=0, abandoned_days=0)
        foreseen = gc(self.store, policy, dry_run=True).garbage
        assert ReleaseCatalog(self.store).numbers() == before
        report = gc(self.store, policy)
        assert (report.garbage.releases, report.garbage.objects) == (foreseen.releases, foreseen.objects)
        assert report.busy == ()
        catalog = ReleaseCatalog(self.store)
        assert catalog.aliases() == aliases
        assert set(catalog.numbers()) == set(before[-keep_releases:]) | set(aliases.values())
        assert not gc(self.store, policy).garbage.releases
        self.nothing_else_is_left(catalog)

    def nothing_else_is_left(self, catalog: ReleaseCatalog) -> None:
        manifests = catalog.manifests()
        pins = [pin for manifest in manifests for pin in manifest.pins]
        heads = [head.spec for head in FeatureRegistry(self.store).heads()]
        sources = {table for table in self.store.tables() if table.startswith("source.")}
        assert set(self.store.tables()) == {table_name(s) for s in heads} | {p.table for p in pins} | sources
        for table in self.store.tables():
            needed = {pin.version for pin in pins if pin.table == table} | {self.store.latest(table).version}
            if table == "source.interactions":
                needed |= {split.interactions_version for split in every_split(self.store)}
            assert {each.version for each in self.store.versions(table)} == needed
        folders = {path.rpartition("/")[0] for path in self.store.objects.list("snapshots/")}
        assert folders == {pin.snapshot for pin in pins if pin.snapshot}

    def check(self) -> None:
        catalog = ReleaseCatalog(self.store)
        for number in catalog.numbers():
            assert digest_of(self.store, catalog.manifest(number)) == self.published[number]
        assert verify(self.store).damages == ()


def run(store: Store, done: list[tuple[Any, ...]]) -> None:
    history = History(store)
    history.split(0)
    history.write("a", set(ITEM_IDS[:3]))
    history.publish("production")
    for name, *arguments in done:
        step: Callable[..., None] = getattr(history, name)
        step(*arguments)
    history.check()
    history.gc(1)
    history.check()


@settings(max_examples=15, deadline=None)
@given(steps)
def test_what_is_kept_is_what_was_published_in_memory(done):
    run(connect("memory://gc"), done)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_what_is_kept_is_what_was_published_in_lance(done):
    with tempfile.TemporaryDirectory() as folder:
        run(connect(str(Path(folder) / "store")), done)
