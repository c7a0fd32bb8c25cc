"""Id maps: what they answer, what they refuse, and damage they notice."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    assert id_maps.load(store, "user", version=before.version).ids == ("b", "a")
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


def test_a_forgotten_entity_leaves_its_row_and_not_its_name() -> None:
    store = MemoryStore()
    id_maps.extend(store, "user", ["ann", "bob", "eve"])
    store.replace("source.user_ids", id_maps.forget(store.read("source.user_ids"), ["bob", "nobody"]))
    assert "bob" not in str(store.read("source.user_ids").to_pylist())
    left = id_maps.load(store, "user")
    assert (len(left), left.row_of(["eve", "ann"]).tolist()) == (3, [2, 0])
    assert "bob" not in left
    assert left.ids[1] == id_maps.tombstone(1)
    assert left.ids[1] not in left
    with pytest.raises(MissingIdsError, match="the id 'bob' is not in the id map"):
        left.row_of(["ann", "bob"])
    with pytest.raises(StoreError, match="row 1 of the id map is taken, but its entity was forgotten"):
        left.ids_of([0, 1])


def test_a_forgotten_entity_that_comes_back_gets_another_row() -> None:
    store = MemoryStore()
    id_maps.extend(store, "user", ["ann", "bob"])
    store.replace("source.user_ids", id_maps.forget(store.read("source.user_ids"), ["bob"]))
    again = id_maps.extend(store, "user", ["bob", "ann"])
    assert again.row_of(["ann", "bob"]).tolist() == [0, 2]


@given(steps=st.lists(st.tuples(st.booleans(), st.sets(st.sampled_from("abcdefgh"), min_size=1)), max_size=8))
def test_rows_are_never_renumbered(steps: list[tuple[bool, set[str]]]) -> None:
    """Whatever comes and goes: a row that was given out means its first entity, or nobody."""
    store = MemoryStore()
    given_out: dict[int, str] = {}
    for comes, ids in steps:
        if comes:
            id_maps.extend(store, "item", sorted(ids))
        elif store.latest("source.item_ids"):
            store.replace("source.item_ids", id_maps.forget(store.read("source.item_ids"), ids))
        current = id_maps.load(store, "item")
        assert len(current) >= len(given_out)
        for row, external_id in enumerate(current.ids):
            assert external_id in {given_out.setdefault(row, external_id), id_maps.tombstone(row)}


def test_rows_of_forgotten_entities_are_not_known() -> None:
    id_map = IdMap(("a", id_maps.tombstone(1), "c"))
    assert id_map.known_rows().tolist() == [0, 2]
    assert IdMap(()).known_rows().tolist() == []
