"""Id maps: what they answer, what they refuse, and damage they notice."""

import numpy as np
import pyarrow as pa
import pytest

from featurestore import id_maps, schema
from featurestore.errors import MissingIdsError, StoreError
from featurestore.id_maps import IdMap
from featurestore.stores.memory import MemoryStore


def test_rows_and_ids_answer_each_other() -> None:
    ids = IdMap(("x", "y", "z"))
    assert ids.row_of(["z", "x", "z"]).tolist() == [2, 0, 2]
    assert ids.row_of([]).dtype == np.int64
    assert ids.ids_of(np.array([2, 0])) == ["z", "x"]
    assert len(ids) == 3
    assert "y" in ids
    assert "w" not in ids


def test_unknown_ids_and_rows_are_named() -> None:
    ids = IdMap(("x", "y"))
    with pytest.raises(MissingIdsError, match="2 ids are not in the id map: 'a', 'b'"):
        ids.row_of(["a", "x", "b", "a"])
    with pytest.raises(StoreError, match="rows 0 to 1, not 2"):
        ids.ids_of([0, 2])
    with pytest.raises(StoreError, match="not -1"):
        ids.ids_of([-1])


def test_old_versions_stay_readable() -> None:
    store = MemoryStore()
    id_maps.extend(store, "user", ["b", "a"])
    before = store.latest("source.user_ids")
    id_maps.extend(store, "user", ["c", "a"])
    assert before is not None
    assert id_maps.load(store, "user", before.version).ids == ("b", "a")
    assert id_maps.load(store, "user").ids == ("b", "a", "c")


def test_known_ids_write_nothing() -> None:
    store = MemoryStore()
    id_maps.extend(store, "item", ["a"])
    before = store.latest("source.item_ids")
    id_maps.extend(store, "item", ["a", "a"])
    assert store.latest("source.item_ids") == before


@pytest.mark.parametrize("rows", [[("a", 0), ("b", 2)], [("a", 0), ("a", 1)]])
def test_a_damaged_map_is_refused(rows: list[tuple[str, int]]) -> None:
    store = MemoryStore()
    ids, places = zip(*rows, strict=True)
    store.replace("source.item_ids", pa.table([pa.array(ids), pa.array(places)], schema=schema.ID_MAP))
    with pytest.raises(StoreError, match=r"'source.item_ids' is damaged: its rows are not 0 to 1"):
        id_maps.load(store, "item")
