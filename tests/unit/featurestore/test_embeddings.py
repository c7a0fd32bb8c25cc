"""Vectors of a release: one mapped matrix behind every library's view, lookups by id, one space at a time."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_samples import ENCODER, ITEM_IDS, add_texts, add_vectors, fill_store

from featurestore.errors import EmbeddingSpaceError, MissingIdsError, SetupError
from featurestore.gates.policy import GatePolicy
from featurestore.reader import Embeddings, FeatureStore, Release, open_store, require_same_space
from featurestore.releases.publish import publish
from featurestore.spec import EncoderSpec, VectorSpec, table_name
from featurestore.store import Store
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore

POLICY = GatePolicy(max_duplicate_text_share=1.0)


@pytest.fixture(params=["memory", "lance"])
def store(request, tmp_path) -> Store:
    return MemoryStore() if request.param == "memory" else connect(str(tmp_path / "store"))


@pytest.fixture
def release(store) -> Release:
    fill_store(store)
    publish(store, gates=POLICY)
    return FeatureStore(store).release()


def _spec(encoder: EncoderSpec = ENCODER) -> VectorSpec:
    return add_vectors(MemoryStore(), add_texts(MemoryStore(), {"i0": "x"}), ["i0"], encoder=encoder)


def _embeddings(ids: Sequence[str], encoder: EncoderSpec = ENCODER) -> Embeddings:
    matrix = np.arange(len(ids) * 4, dtype=np.float32).reshape(-1, 4)
    return Embeddings(pa.array(ids, pa.string()), matrix, spec=_spec(encoder))


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_they_are_the_stored_vectors_by_ascending_id(store, release):
    embeddings = release.embeddings("item_text")
    assert embeddings.ids == list(ITEM_IDS[:5])
    assert (len(embeddings), embeddings.matrix.shape, embeddings.matrix.dtype) == (5, (5, 4), np.float32)
    rows = store.read(table_name(embeddings.spec), ids=embeddings.ids, columns=["vector"])
    np.testing.assert_array_equal(embeddings.matrix, rows["vector"].to_pylist())
    assert embeddings.encoder == ENCODER
    assert embeddings.event_sets == ()
    assert repr(embeddings) == "Embeddings('item_text.text', n=5, d=4, encoder='hashing')"
    with pytest.raises(ValueError, match="read-only"):
        embeddings.matrix[0] = 0


def test_every_library_sees_the_same_mapped_memory(tmp_path):
    torch = pytest.importorskip("torch")
    fill_store(connect(str(tmp_path)))
    publish(connect(str(tmp_path)), gates=POLICY)
    embeddings = open_store(str(tmp_path)).release().embeddings("item_text")
    assert isinstance(embeddings.matrix, np.memmap)
    mapped = _address(embeddings.matrix)
    tensor = embeddings.to_torch()
    assert (tensor.dtype, tensor.data_ptr()) == (torch.float32, mapped)
    vectors = embeddings.to_arrow()["vector"].chunk(0)
    assert vectors.type == pa.list_(pa.float32(), 4)
    assert vectors.values.buffers()[1].address == mapped
    frame = embeddings.to_polars()
    assert frame.schema == {"id": pl.String, "vector": pl.Array(pl.Float32, 4)}
    assert _address(frame["vector"].to_numpy()) == mapped


def test_they_are_equal_in_every_library(release):
    pytest.importorskip("torch")
    pytest.importorskip("duckdb")
    embeddings = release.embeddings("item_text")
    np.testing.assert_array_equal(embeddings.to_torch().numpy(), embeddings.matrix)
    assert embeddings.to_arrow()["id"].to_pylist() == embeddings.ids
    np.testing.assert_array_equal(embeddings.to_polars()["vector"].to_numpy(), embeddings.matrix)
    relation = embeddings.to_duckdb()
    assert [str(kind) for kind in relation.types] == ["VARCHAR", "FLOAT[4]"]
    ids, vectors = zip(*relation.fetchall(), strict=True)
    assert list(ids) == embeddings.ids
    np.testing.assert_array_equal(np.array(vectors, np.float32), embeddings.matrix)


def test_duckdb_joins_vectors_with_what_the_connection_holds(release):
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE wanted AS SELECT 'i3' AS id")
        release.embeddings("item_text").to_duckdb(connection).create_view("vectors")
        found = connection.execute(
            "SELECT id, array_inner_product(vector, vector) FROM vectors JOIN wanted USING (id)"
        ).fetchall()
    assert found == [("i3", pytest.approx(1.0))]


@pytest.mark.parametrize(("module", "call"), [("torch", "to_torch"), ("duckdb", "to_duckdb")])
def test_an_absent_library_is_named_with_its_extra(monkeypatch, module, call):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(SetupError, match=f"needs the Python package '{module}'") as caught:
        getattr(_embeddings(["i0"]), call)()
    assert caught.value.hint.startswith("Install it with: pip install 'cot-featurestore[")


def test_writing_to_a_tensor_never_reaches_the_store(release):
    pytest.importorskip("torch")
    before = release.embeddings("item_text").matrix.copy()
    release.embeddings("item_text").to_torch().zero_()
    np.testing.assert_array_equal(release.embeddings("item_text").matrix, before)


def test_rows_come_in_request_order_and_absent_ids_are_named(release):
    embeddings = release.embeddings("item_text")
    wanted = ["i3", "i0", "i3"]
    assert embeddings.row_of(wanted).tolist() == [3, 0, 3]
    np.testing.assert_array_equal(embeddings.rows(wanted), embeddings.matrix[[3, 0, 3]])
    assert embeddings.find(["i9", "i1", "", "i5"]).tolist() == [-1, 1, -1, -1]
    with pytest.raises(MissingIdsError, match=r"2 ids are not in item_text\.text: 'i9', 'i5'\."):
        embeddings.rows(["i9", "i0", "i5", "i9"])
    assert embeddings.rows([]).shape == (0, 4)


@given(known=st.sets(st.text(max_size=4), max_size=20), asked=st.lists(st.text(max_size=4), max_size=20))
def test_lookups_find_what_a_dictionary_finds(known: set[str], asked: list[str]) -> None:
    ids = sorted(known, key=str.encode)
    expected = {external_id: row for row, external_id in enumerate(ids)}
    wanted = [*asked, *ids]
    found = _embeddings(ids).find(wanted)
    assert found.dtype == np.int64
    assert found.tolist() == [expected.get(external_id, -1) for external_id in wanted]


def test_spaces_must_agree():
    same, others = _embeddings(["i0"]), ENCODER.model_copy(update={"pooling": "mean"})
    assert require_same_space(same, _embeddings(["i1"])) == ENCODER
    with pytest.raises(EmbeddingSpaceError, match="lie in different spaces: pooling 'sum' and 'mean'"):
        require_same_space(same, _embeddings(["i0"], others))


def test_a_query_must_be_encoded_as_the_stored_texts_were():
    stored = _embeddings(["i0"])
    assert require_same_space(stored, ENCODER) == ENCODER
    other = ENCODER.model_copy(update={"name": "minilm"})
    with pytest.raises(
        EmbeddingSpaceError, match=r"'item_text\.text'.* and encoder 'minilm' lie in different spaces: name"
    ):
        require_same_space(stored, other)
