"""An erasure that stops anywhere is finished by the next one, and readers never see half of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forget_checks import asked, change_a_text, check_equal, content
from forget_world import (
    BARTHOLOMEW,
    POLICY,
    fill,
    leave_traces,
    naming,
)

from featurestore.forget import ForgetRequest, forget
from featurestore.jobs.answers import ANSWERS_TABLE
from featurestore.reader import FeatureStore
from featurestore.release import Manifest, ReleaseCatalog
from featurestore.releases.publish import publish
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore


@pytest.fixture
def memory() -> Store:
    """For what does not depend on files."""
    return MemoryStore()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


class CrashError(Exception):
    """The machine stopped."""


class _Mortal:
    """Passes calls on, and stops before the n-th one that changes something."""

    CHANGES = ("put_new", "delete", "replace", "upsert", "erase", "compact", "drop")

    def __init__(self, inner: Any, count: "list[int]") -> None:
        self._inner, self._count = inner, count

    @property
    def objects(self) -> Any:
        return _Mortal(self._inner.objects, self._count)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self.CHANGES:
            return found

        def change(*args: Any, **options: Any) -> Any:
            if not (args and isinstance(args[0], str) and args[0].startswith("locks/")):
                self._count[0] -= 1
                if self._count[0] < 0:
                    raise CrashError
            return found(*args, **options)

        return change


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], MemoryStore]:
    """Makes copies of one filled store."""
    made, work = MemoryStore(), tmp_path_factory.mktemp("work")
    fill(made, work)
    change_a_text(made)
    publish(made, gates=POLICY)
    leave_traces(made, work)

    def new() -> MemoryStore:
        store = MemoryStore()
        store._tables = {table: dict(versions) for table, versions in made._tables.items()}
        store.objects._data = dict(made.objects._data)
        return store

    return new


def test_an_erasure_that_stops_anywhere_is_finished_by_the_next_one(
    world: Callable[[], MemoryStore], rng: np.random.Generator
) -> None:
    whole, count = world(), [10**9]
    forget(_Mortal(whole, count), asked())  # pyright: ignore[reportArgumentType]
    num_changes = 10**9 - count[0]
    assert num_changes > 40
    wanted = content(FeatureStore(whole).release())
    for at in sorted(rng.choice(num_changes, 24, replace=False).tolist()):
        store = world()
        with pytest.raises(CrashError):
            forget(_Mortal(store, [at]), asked())  # pyright: ignore[reportArgumentType]
        seen = FeatureStore(store).release()
        there = BARTHOLOMEW in seen.embeddings("user_cot").ids
        assert there == (BARTHOLOMEW in seen.id_map("user")), f"a mixture after {at} changes"
        assert there == (BARTHOLOMEW in set(seen.interactions("train")["user_id"]))
        forget(store, asked())
        assert naming(store, Path("absent"), BARTHOLOMEW) == [], f"stopped after {at} changes"
        found = content(FeatureStore(store).release())
        assert found.keys() == wanted.keys()
        for name, rows in found.items():
            check_equal(rows, wanted[name], name)
        assert len(FeatureStore(store).releases()) == 3
        assert ANSWERS_TABLE in store.tables()


def test_a_redacted_release_stands_in_its_place_before_the_erasure_ends(
    memory: Store, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after the first successor: the newest release is still the newest, for `publish` and `gc`."""
    fill(memory, work)
    newest = ReleaseCatalog(memory).newest()
    add = ReleaseCatalog.add

    def one_only(catalog: ReleaseCatalog, manifest: Manifest) -> bool:
        if manifest.supersedes != 1:
            raise CrashError
        return add(catalog, manifest)

    with monkeypatch.context() as patch:
        patch.setattr(ReleaseCatalog, "add", one_only)
        with pytest.raises(CrashError):
            forget(memory, ForgetRequest((BARTHOLOMEW,)))
    assert ReleaseCatalog(memory).numbers() == [1, 2, 3]
    assert ReleaseCatalog(memory).newest() == newest
    assert forget(memory, ForgetRequest((BARTHOLOMEW,))).releases == {1: 3, 2: 4}
