"""Plain item texts: their format, and that only what changed is written."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from featurestore.errors import InputError, LockHeldError, UsageError
from featurestore.features import FeatureRegistry
from featurestore.jobs.lock import FeatureLock
from featurestore.schema import ITEMS
from featurestore.store import Store
from featurestore.stores import connect
from llm_jobs.plain_text import build_plain_texts, plain_text

FULL = {
    "title": "Beard Oil",
    "brand": "Northwood",
    "categories": "Beauty > Beard Care",
    "description": "<p>Softens beards.</p>",
}


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return connect("memory://plain" if request.param == "memory" else str(tmp_path / "store"))


def put_items(store: Store, **items: dict[str, Any]) -> None:
    rows = [{"item_id": name, **fields} for name, fields in items.items()]
    store.replace("source.items", pa.Table.from_pylist(rows, schema=ITEMS))


def texts(store: Store, table: str) -> dict[str, str | None]:
    rows = store.read(table).to_pylist()
    return {row["id"]: row["text"] for row in rows}


def test_fields_stand_in_order_as_sentences() -> None:
    assert plain_text(FULL) == "Beard Oil. Northwood. Beauty > Beard Care. Softens beards."


def test_absent_and_blank_fields_are_skipped() -> None:
    assert plain_text({"title": "Cup!", "brand": None, "categories": "  "}) == "Cup!"
    assert plain_text({"title": "<br>"}) == ""


def test_every_item_has_one_row(store: Store) -> None:
    put_items(store, a=FULL, b={"title": "Cup"}, c={})
    version = build_plain_texts(store)
    assert version.spec.feature == "item_text"
    assert version.spec.view == "text"
    rows = {row["id"]: row for row in store.read(version.table).to_pylist()}
    assert rows["b"]["text"] == "Cup."
    assert (rows["b"]["status"], rows["b"]["reason"]) == ("ok", None)
    assert (rows["c"]["status"], rows["c"]["reason"], rows["c"]["text"]) == ("failed", "no_text", None)
    assert FeatureRegistry(store).head("text", "item_text", "text").spec == version.spec


def test_a_second_run_writes_nothing(store: Store) -> None:
    put_items(store, a=FULL, b={"title": "Cup"})
    version = build_plain_texts(store)
    first = store.latest(version.table)
    assert build_plain_texts(store) == version
    assert store.latest(version.table) == first


def test_only_changed_items_are_written_and_gone_ones_deleted(store: Store) -> None:
    put_items(store, a=FULL, b={"title": "Cup"}, c={"title": "Mug"})
    build_plain_texts(store)
    put_items(store, a={**FULL, "price": 3.0}, b={"title": "Tall cup"})
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int, note: str = "") -> None:
        seen.append((done, total))

    version = build_plain_texts(store, progress=progress)
    assert seen == [(1, 1)]
    assert texts(store, version.table) == {"a": plain_text(FULL), "b": "Tall cup."}


def test_more_rows_than_one_commit_takes(store: Store) -> None:
    put_items(store, **{f"i{n:05}": {"title": f"Item {n}"} for n in range(4_100)})
    version = build_plain_texts(store)
    assert len(texts(store, version.table)) == 4_100


def test_other_fields_make_another_version(store: Store) -> None:
    put_items(store, a=FULL)
    all_fields, titles = build_plain_texts(store), build_plain_texts(store, fields=("title",))
    assert all_fields.table != titles.table
    assert texts(store, titles.table) == {"a": "Beard Oil."}


def test_a_field_that_items_lack_is_named(store: Store) -> None:
    put_items(store, a=FULL)
    with pytest.raises(UsageError, match=r"the items lack 'plot'; they have item_id, title, brand"):
        build_plain_texts(store, fields=("title", "plot"))


def test_a_store_without_items_says_to_ingest(store: Store) -> None:
    with pytest.raises(InputError, match=r"holds no items.\n  Run `featurestore ingest` first"):
        build_plain_texts(store)


def test_they_are_written_under_the_lock_of_their_table(store: Store) -> None:
    put_items(store, a=FULL)
    table = build_plain_texts(store).table
    with FeatureLock(store.objects, table), pytest.raises(LockHeldError, match="another job"):
        build_plain_texts(store)
