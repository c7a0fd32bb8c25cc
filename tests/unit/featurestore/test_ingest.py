"""Ingest: what reaches the store, what a second ingest changes, and what is refused as a whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from featurestore import id_maps
from featurestore.errors import InputError, LockHeldError, RowContractError, UsageError
from featurestore.ingest import SOURCES_LOCK, IngestReport, IngestRequest, ingest
from featurestore.jobs.lock import FeatureLock
from featurestore.sources.source import Role
from featurestore.splits import SplitPolicy, current_split
from featurestore.store import Store
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore

ITEMS = [{"item_id": name, "title": f"Title of {name}", "year": 2000} for name in "abcd"]
USERS = [{"user_id": "u", "age": 30}, {"user_id": "v", "age": None}]
EVENTS = [
    {"user_id": user, "item_id": item, "timestamp": time}
    for user, items in (("v", "abc"), ("u", "dcb"), ("w", "a"))
    for time, item in enumerate(items)
]


@pytest.fixture(params=["memory", "lancedb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else connect(str(tmp_path / "store"))


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., IngestReport]:
    def run_ingest(
        store: Store, split: SplitPolicy | None = None, **tables: list[dict[str, Any]]
    ) -> IngestReport:
        files: dict[Role, Path] = {}
        for role in ("items", "users", "interactions"):
            if role in tables:
                files[role] = tmp_path / f"{role}.parquet"
                pl.DataFrame(tables[role], infer_schema_length=None).write_parquet(files[role])
        return ingest(store, IngestRequest(files, split=split or SplitPolicy()))

    return run_ingest


def stored(store: Store, name: str) -> list[dict[str, Any]]:
    return pl.DataFrame(store.read(f"source.{name}")).to_dicts()


def versions(store: Store) -> dict[str, int]:
    found = [store.latest(table) for table in store.tables()]
    return {version.table: version.version for version in found if version}


def test_everything_arrives(store: Store, run: Callable[..., IngestReport]) -> None:
    report = run(store, items=ITEMS, users=USERS, interactions=EVENTS)
    assert [row["item_id"] for row in stored(store, "items")] == ["a", "b", "c", "d"]
    assert stored(store, "users") == [
        {"user_id": "u", "age": "30"},
        {"user_id": "v", "age": None},
        {"user_id": "w", "age": None},
    ]
    events = stored(store, "interactions")
    assert [(e["user_id"], e["item_id"], e["position"], e["part"]) for e in events] == [
        ("u", "d", 0, "train"),
        ("u", "c", 1, "valid"),
        ("u", "b", 2, "test"),
        ("v", "a", 0, "train"),
        ("v", "b", 1, "valid"),
        ("v", "c", 2, "test"),
        ("w", "a", 0, "train"),
    ]
    assert stored(store, "quarantine") == []
    assert report.split == current_split(store)
    assert report.split is not None
    assert report.split.counts == {"train": 3, "valid": 2, "test": 2}
    assert sorted(id_maps.load(store, "item").ids) == ["a", "b", "c", "d"]
    assert sorted(id_maps.load(store, "user").ids) == ["u", "v", "w"]
    assert [(f.role, f.read, f.kept) for f in report.files] == [
        ("items", 4, 4),
        ("users", 2, 2),
        ("interactions", 7, 7),
    ]


def test_equal_content_makes_no_version(store: Store, run: Callable[..., IngestReport]) -> None:
    run(store, items=ITEMS, users=USERS, interactions=EVENTS)
    before, objects = versions(store), store.objects.list("splits/")
    report = run(store, items=ITEMS[::-1], users=USERS, interactions=EVENTS)
    assert report.changed_tables == ()
    assert versions(store) == before
    assert store.objects.list("splits/") == objects


def test_a_small_change_is_upserted_and_a_vanished_item_deleted(
    store: Store, run: Callable[..., IngestReport]
) -> None:
    many = [{"item_id": f"i{n:02}", "title": f"T{n}", "tags": ["x", str(n)]} for n in range(40)]
    run(store, items=many)
    before = id_maps.load(store, "item")
    changed = [
        *many[1:10],
        many[10] | {"tags": None},
        *many[11:],
        {"item_id": "new", "title": "N", "tags": ["y"]},
    ]
    report = run(store, items=changed)
    assert report.changed_tables == ("source.items",)
    found = {row["item_id"]: row for row in stored(store, "items")}
    assert set(found) == {row["item_id"] for row in changed}
    assert found["i10"]["tags"] is None
    assert found["i11"]["tags"] == ["x", "11"]
    assert found["new"]["title"] == "N"
    after = id_maps.load(store, "item")
    assert after.ids == (*before.ids, "new")
    assert run(store, items=changed).changed_tables == ()


def test_other_columns_rewrite_the_table(store: Store, run: Callable[..., IngestReport]) -> None:
    run(store, items=ITEMS)
    run(store, items=[row | {"colour": "red"} for row in ITEMS])
    assert {row["colour"] for row in stored(store, "items")} == {"red"}


def test_bare_interactions_need_no_items_file(store: Store, run: Callable[..., IngestReport]) -> None:
    report = run(store, interactions=[{"user_id": 1, "item_id": n} for n in range(5)])
    assert [row["item_id"] for row in stored(store, "items")] == ["0", "1", "2", "3", "4"]
    assert stored(store, "items")[0]["title"] is None
    assert report.suitability.verdict.startswith("Not worth a language model's cost: none of the items have")


def test_an_entity_without_a_file_keeps_its_rows_and_gains_new_ids(run: Callable[..., IngestReport]) -> None:
    store = MemoryStore()
    run(store, items=ITEMS, interactions=EVENTS)
    run(store, interactions=[*EVENTS, {"user_id": "u", "item_id": "new", "timestamp": 9}])
    titles = {row["item_id"]: row["title"] for row in stored(store, "items")}
    assert titles["a"] == "Title of a"
    assert titles["new"] is None


def test_an_item_that_stored_events_name_stays_as_a_bare_id(run: Callable[..., IngestReport]) -> None:
    store = MemoryStore()
    run(store, items=ITEMS, interactions=EVENTS)
    run(store, items=ITEMS[1:])
    assert {row["item_id"]: row["title"] for row in stored(store, "items")}["a"] is None


def test_bad_rows_are_quarantined_and_the_good_ones_stay(
    store: Store, run: Callable[..., IngestReport]
) -> None:
    bad = [
        {"user_id": "u", "item_id": "zzz", "timestamp": 1},
        {"user_id": "", "item_id": "a", "timestamp": 1},
    ]
    report = run(store, items=[*ITEMS, ITEMS[0]], interactions=[*EVENTS, *bad])
    assert [(row["source"], row["row_number"], row["reason"]) for row in stored(store, "quarantine")] == [
        ("items.parquet", 5, "duplicate_id"),
        ("interactions.parquet", 8, "unknown_item"),
        ("interactions.parquet", 9, "empty_id"),
    ]
    events = report.files[1]
    assert (events.read, events.kept, events.quarantined) == (9, 7, {"unknown_item": 1, "empty_id": 1})
    run(store, items=ITEMS, interactions=EVENTS)
    assert stored(store, "quarantine") == []


def test_rows_of_an_id_map_tell_nothing_about_the_order_of_the_data(run: Callable[..., IngestReport]) -> None:
    names = [f"i{n:03}" for n in range(200)]
    rows = []
    for order in (names, names[::-1]):
        store = MemoryStore()
        run(
            store,
            interactions=[{"user_id": "u", "item_id": name, "timestamp": t} for t, name in enumerate(order)],
        )
        rows.append(id_maps.load(store, "item").row_of(names))
    assert (rows[0] == rows[1]).all()
    assert abs(np.corrcoef(rows[0], np.arange(200))[0, 1]) < 0.3


def test_a_changed_rating_keeps_the_splits_checksum(run: Callable[..., IngestReport]) -> None:
    store = MemoryStore()
    first = run(store, interactions=[row | {"rating": 1} for row in EVENTS]).split
    second = run(store, interactions=[row | {"rating": 2} for row in EVENTS]).split
    assert first is not None
    assert second is not None
    assert (first.checksum, first.interactions_version) == (second.checksum, 1)
    assert second.interactions_version == 2


@pytest.mark.parametrize(
    ("tables", "error", "message"),
    [
        ({"users": USERS}, UsageError, "neither an items nor an interactions file was given"),
        ({"items": [{"asin": "a"}]}, RowContractError, "items.parquet has no column 'item_id'"),
        ({"items": ITEMS, "interactions": [{"user_id": "u"}]}, RowContractError, "has no column 'item_id'"),
        (
            {"items": ITEMS, "interactions": [{"user_id": "u", "item_id": "q"}]},
            InputError,
            "none of the 1 rows of interactions.parquet can be used as interactions; row 1: unknown_item",
        ),
    ],
)
def test_a_refused_ingest_writes_nothing(
    run: Callable[..., IngestReport],
    tables: dict[str, list[dict[str, Any]]],
    error: type[Exception],
    message: str,
) -> None:
    store = MemoryStore()
    with pytest.raises(error, match=message):
        run(store, **tables)
    assert store.tables() == []
    assert store.objects.list("") == []


def test_the_split_policy_decides_the_parts(run: Callable[..., IngestReport]) -> None:
    report = run(MemoryStore(), SplitPolicy(method="none"), interactions=EVENTS)
    assert report.split is not None
    assert report.split.counts == {"train": 7, "valid": 0, "test": 0}
    with pytest.raises(RowContractError, match="official split needs a column 'part'"):
        run(MemoryStore(), SplitPolicy(method="official"), interactions=EVENTS)


def test_progress_ends_at_its_total(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    pl.DataFrame(ITEMS).write_parquet(path)
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int, note: str = "") -> None:
        seen.append((done, total))

    ingest(MemoryStore(), IngestRequest({"items": path}), progress=progress)
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_a_bare_id_goes_with_the_last_event_that_names_it(run: Callable[..., IngestReport]) -> None:
    store = MemoryStore()
    run(store, items=ITEMS, users=USERS, interactions=EVENTS)
    assert [row["user_id"] for row in stored(store, "users")] == ["u", "v", "w"]
    run(store, interactions=[event for event in EVENTS if event["user_id"] == "v"])
    # The users file gave u an age; of v it knew nothing, but an event names it.
    assert [row["user_id"] for row in stored(store, "users")] == ["u", "v"]
    assert len(stored(store, "items")) == 4


def test_two_ingests_do_not_mix(run: Callable[..., IngestReport]) -> None:
    store = MemoryStore()
    with (
        FeatureLock(store.objects, SOURCES_LOCK),
        pytest.raises(LockHeldError, match="another job works on source-tables"),
    ):
        run(store, items=ITEMS)
    assert store.tables() == []
