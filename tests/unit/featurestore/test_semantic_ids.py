"""Semantic ids as readers get them: from rows, and from a release that the gates let pass."""

import numpy as np
import polars as pl
import pytest
from coded_vectors import ITEMS, build, put_vectors
from store_samples import add_sources, add_texts

from featurestore import columns as c
from featurestore.errors import (
    GateFailedError,
    MissingIdsError,
    UnknownNameError,
    UsageError,
)
from featurestore.gates.policy import GatePolicy
from featurestore.reader import FeatureStore
from featurestore.releases.publish import publish
from featurestore.semantic_ids import SemanticIds
from featurestore.spec import CodesSpec, parse_spec, table_name
from featurestore.store import Store
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore

POLICY = GatePolicy(max_code_collisions=1.0)
SPEC = CodesSpec(
    feature="sid",
    view="text",
    entity="item",
    vector_digest="0" * 32,
    codebook="1" * 32,
    num_levels=2,
    codebook_size=4,
    beam_size=1,
)
ROWS = pl.DataFrame(
    {c.ID: ["b", "c", "a"], c.CODES: [[3, 0], [1, 2], [3, 0]], c.COLLISION: [1, 0, 0]},
    schema={c.ID: pl.String, c.CODES: pl.List(pl.Int32), c.COLLISION: pl.Int32},
)


@pytest.fixture(params=["memory", "lance"])
def store(request, tmp_path) -> Store:
    return MemoryStore() if request.param == "memory" else connect(str(tmp_path / "store"))


CHANGES: dict[str, object] = {
    "feature": "other",
    "view": "fused",
    "entity": "user",
    "vector_digest": "2" * 32,
    "codebook": "2" * 32,
    "num_levels": 3,
    "codebook_size": 8,
    "beam_size": 5,
    "event_set": "abc:train",
}


def test_every_field_that_can_change_codes_changes_the_table():
    assert set(CHANGES) == set(CodesSpec.model_fields) - {"kind", "origin"}
    tables = {table_name(SPEC.model_copy(update={name: value})) for name, value in CHANGES.items()}
    assert len(tables | {table_name(SPEC)}) == len(CHANGES) + 1
    assert parse_spec(SPEC.model_dump(mode="json")) == SPEC
    assert table_name(SPEC) == "codes.sid.text.5c3f793184da0ded", "stored tables keep their names"


def test_rows_come_by_ascending_id_with_the_digit_last():
    ids = SemanticIds(ROWS, SPEC)
    assert ids.ids == ["a", "b", "c"]
    assert (ids.matrix.dtype, ids.matrix.tolist()) == (np.int32, [[3, 0, 0], [3, 0, 1], [1, 2, 0]])
    assert not ids.matrix.flags.writeable
    assert repr(ids) == "SemanticIds('sid.text', n=3, levels=2, codebook_size=4)"
    assert ids.to_polars().to_dicts()[2] == {c.ID: "c", c.CODES: [1, 2], c.COLLISION: 0}


def test_entities_lead_to_codes_and_codes_to_entities():
    ids = SemanticIds(ROWS, SPEC)
    assert ids.rows(["c", "a", "c"]).tolist() == [[1, 2, 0], [3, 0, 0], [1, 2, 0]]
    assert ids.rows([]).shape == (0, 3)
    assert ids.entities(np.array([[3, 0, 1], [3, 0, 2], [1, 2, 0]])) == ["b", None, "c"]
    assert ids.entities(ids.matrix) == ids.ids


def test_what_is_not_there_is_named():
    ids = SemanticIds(ROWS, SPEC)
    with pytest.raises(MissingIdsError, match=r"2 ids are not in the semantic ids sid\.text: 'x', 'y'"):
        ids.rows(["x", "a", "y", "x"])
    with pytest.raises(UsageError, match=r"is 3 numbers, its digit the last; got \(1, 2\)"):
        ids.entities(np.array([[3, 0]]))


def test_a_feature_without_rows_is_empty():
    ids = SemanticIds(ROWS.clear(), SPEC)
    assert (len(ids), ids.matrix.shape, ids.ids) == (0, (0, 3), [])


def test_a_release_gives_semantic_ids_by_entity_and_by_code(store):
    released(store)
    release = FeatureStore(store).release()
    ids = release.semantic_ids("sid")
    assert (len(ids), ids.matrix.shape, ids.matrix.dtype) == (40, (40, 3), np.int32)
    assert ids.ids == sorted(ITEMS)
    np.testing.assert_array_equal(ids.rows(["i07", "i00", "i07"]), ids.matrix[[7, 0, 7]])
    assert ids.entities(ids.matrix) == ids.ids
    pin = release.pin("codes", "sid")
    assert {artefact.path for artefact in pin.artefacts} == set(store.objects.list("codebooks/"))


def released(store):
    """Sources, texts, vectors of these texts, their codes, published."""
    add_sources(store)
    text = add_texts(store, ITEMS, feature="sid")
    put_vectors(store, ITEMS, text_digest=text.digest)
    build(store)
    publish(store, gates=POLICY)


def test_codes_of_other_vectors_than_the_releases_are_refused():
    store = MemoryStore()
    released(store)
    text = add_texts(store, {"i03": "Another text."}, feature="sid")
    put_vectors(store, ITEMS | {"i03": "Another text."}, text_digest=text.digest)
    with pytest.raises(
        GateFailedError, match=r"current_vectors of codes sid\.text: .* is 1; .* Rows: i03"
    ) as caught:
        publish(store, gates=POLICY)
    assert "run `featurestore semantic-ids` again" in caught.value.hint
    build(store)
    assert publish(store, gates=POLICY).created


def test_codes_of_a_vector_spec_that_is_not_released_are_refused():
    store = MemoryStore()
    released(store)
    text = add_texts(store, ITEMS, feature="sid", wording="1")
    put_vectors(store, ITEMS, text_digest=text.digest)
    with pytest.raises(GateFailedError, match=r"lineage of codes sid\.text"):
        publish(store, gates=POLICY)


def test_a_release_without_codes_says_what_it_has():
    store = MemoryStore()
    add_sources(store)
    publish(store, gates=POLICY)
    with pytest.raises(UnknownNameError, match=r"unknown codes feature 'sid'\. Known: none\."):
        FeatureStore(store).release().semantic_ids("sid")
