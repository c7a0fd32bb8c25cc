"""A nightly refresh beside other jobs: what is busy is left to them, and released as it was before."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from generation_world import item_cot
from refresh_world import GATES, Night, Shop, feature_job, items_and_users, make_shop, run_night

from featurestore.errors import LockHeldError, UnknownNameError
from featurestore.features import FeatureRegistry
from featurestore.jobs.lock import FeatureLock
from featurestore.reader import FeatureStore
from featurestore.release import ReleaseCatalog, TablePin
from featurestore.releases.verify import verify
from featurestore.stores.memory import MemoryStore
from featurestore.table_upkeep import writers_lock
from llm_jobs.due import DuePolicy
from llm_jobs.generate import GenerateOptions
from llm_jobs.refresh import RefreshReport
from llm_jobs.refresh_job import FeatureJob


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def _items() -> tuple[FeatureJob, ...]:
    """Texts of items, vectors, a graph of users and semantic ids."""
    return (replace(feature_job(item_cot(), GenerateOptions(due=DuePolicy())), codes=("fused",)),)


def _night(
    store: MemoryStore,
    folder: Path,
    shop: Shop,
    features: tuple[FeatureJob, ...],
    told: Callable[[RefreshReport], None] | None = None,
) -> Night:
    gates = GATES.model_copy(update={"max_code_collisions": 1.0})
    return run_night(store, folder, shop, features, told=told, gates=gates)


def _lock(store: MemoryStore, kind: str, feature: str = "item_cot") -> FeatureLock:
    (head,) = [h for h in FeatureRegistry(store).heads(kind) if h.spec.feature == feature]  # type: ignore[arg-type]
    return writers_lock(store, head.spec)


def _pins(store: MemoryStore, number: int) -> dict[tuple[str, str], TablePin]:
    pins = ReleaseCatalog(store).manifest(number).pins
    return {(pin.spec.kind, pin.name): pin for pin in pins if pin.spec.kind != "source"}


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("vector", {"vectors.item_cot.fused"}),
        ("graph", {"graph.item_cot.fused-users"}),
        ("codes", {"codes.item_cot.fused"}),
    ],
)
def test_a_busy_feature_is_released_as_it_was_and_the_rest_goes_on(
    store: MemoryStore, tmp_path: Path, kind: str, left: set[str]
) -> None:
    shop = make_shop(8, 5, 5)
    _night(store, tmp_path, shop, _items())
    before = _pins(store, 1)
    shop.titles["i003"] = "A teapot"
    with _lock(store, kind) as lock:
        night = _night(store, tmp_path, shop, _items())
    assert night.report.exit_code == 0
    assert {name for name, status in night.statuses.items() if status == "left"} == left
    busy = next(stage for stage in night.report.stages if stage.status == "left")
    assert (busy.left or "").startswith(f"another job works on {lock.name}: ")
    assert night.facts("texts.item_cot")["due"] == 1, "what is complete is brought up to date"
    assert ReleaseCatalog(store).aliases() == {"production": 2}
    carried = _pins(store, 2)
    assert {name: (pin.table, pin.version) for name, pin in carried.items()} == {
        name: (pin.table, pin.version) for name, pin in before.items()
    }
    assert {pin.carried_from for pin in carried.values()} == {1}
    assert (
        FeatureStore(store)
        .release()
        .items()
        .row(by_predicate=pl.col("item_id") == "i003", named=True)["title"]
        == "A teapot"
    )
    assert verify(store).damages == ()

    caught_up = _night(store, tmp_path, shop, _items())
    assert "left" not in caught_up.statuses.values()
    after = _pins(store, 3)
    assert {pin.carried_from for pin in after.values()} == {None}
    assert after["text", "item_cot.fused"].version > before["text", "item_cot.fused"].version


def test_nothing_is_made_of_vectors_that_another_job_is_writing(store: MemoryStore, tmp_path: Path) -> None:
    shop = make_shop(8, 5, 5)
    _night(store, tmp_path, shop, _items())
    before = _pins(store, 1)
    shop.titles["i003"] = "A teapot"
    with _lock(store, "vector") as lock:
        store.upsert(lock.name, store.read(lock.name, ids=["i005"]), key="id")
        night = _night(store, tmp_path, shop, _items())
    reports = {stage.name: stage.left for stage in night.report.stages}
    assert reports["graph.item_cot.fused-users"] == "another job writes vectors of item_cot"
    assert reports["codes.item_cot.fused"] == "another job writes vectors of item_cot"
    assert {name: pin.version for name, pin in _pins(store, 2).items()} == {
        name: pin.version for name, pin in before.items()
    }


def test_texts_that_another_job_writes_for_the_first_time_end_no_refresh(
    store: MemoryStore, tmp_path: Path
) -> None:
    shop = make_shop(8, 5, 5)
    other = MemoryStore()
    _night(other, tmp_path, shop, _items())
    text = FeatureRegistry(other).head("text", "item_cot", "fused").table
    with FeatureLock(store.objects, text):
        night = _night(store, tmp_path, shop, _items())
    assert night.statuses == {
        "ingest": "done",
        "retire": "done",
        "texts.item_cot": "left",
        "vectors.item_cot.fused": "left",
        "codes.item_cot.fused": "left",
        "publish": "done",
        "promote": "done",
    }
    assert _pins(store, 1) == {}
    assert _night(store, tmp_path, shop, _items()).facts("publish")["release"] == 2
    assert len(_pins(store, 2)) == 6, "three texts, vectors, a graph, semantic ids"


def test_a_view_that_nobody_writes_is_still_a_mistake(store: MemoryStore, tmp_path: Path) -> None:
    wrong = replace(_items()[0], graphs=("fusd",))
    with pytest.raises(UnknownNameError, match=r"unknown vector feature 'item_cot\.fusd'\. Did you mean"):
        _night(store, tmp_path, make_shop(4, 3, 4), (wrong,))


def test_rows_of_an_earlier_split_cannot_stand_in(store: MemoryStore, tmp_path: Path) -> None:
    """With new events the users' rows of last night are of another split: the night is tried again later."""
    shop = make_shop(8, 5, 6)
    _night(store, tmp_path, shop, items_and_users())
    shop.events.append(("u01", "i007", 9))
    told: list[RefreshReport] = []
    with (
        _lock(store, "vector", "user_cot"),
        pytest.raises(
            LockHeldError,
            match=r"another job works on user_cot\.\w+, and what the newest release has of it was made from",
        ),
    ):
        _night(store, tmp_path, shop, items_and_users(), told=told.append)
    assert (told[0].exit_code, told[0].stages[-1].name) == (6, "publish")
    assert ReleaseCatalog(store).aliases() == {"production": 1}
    assert _night(store, tmp_path, shop, items_and_users()).facts("publish")["release"] == 2
