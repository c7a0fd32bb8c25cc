"""Exports of what the command's tests leave out: graphs and semantic ids."""

import polars as pl
import pytest
from diff_samples import first_release, put_codes, release

from featurestore.errors import UsageError
from featurestore.export import export_feature
from featurestore.reader import FeatureStore, Release
from featurestore.stores.memory import MemoryStore


@pytest.fixture
def opened() -> Release:
    store = first_release(MemoryStore())
    put_codes(store, {"i1": (3, 4, 0), "i0": (1, 2, 1)})
    return FeatureStore(store).release(str(release(store)))


def test_edges_of_a_graph(opened, tmp_path):
    done = export_feature(opened, "item_text", out=tmp_path / "edges.parquet", kind="graph")
    assert (done.kind, done.view, done.rows) == ("graph", "text", 7)
    edges = pl.read_parquet(tmp_path / "edges.parquet")
    assert edges.columns == ["src_id", "dst_id", "rank", "score"]
    assert edges.rows()[:3] == [("i0", "i1", 0, 1.0), ("i0", "i2", 1, 0.875), ("i1", "i0", 0, 1.0)]


def test_semantic_ids(opened, tmp_path):
    done = export_feature(opened, "item_text", out=tmp_path / "ids.parquet", kind="codes")
    assert (done.kind, done.rows) == ("codes", 2)
    ids = pl.read_parquet(tmp_path / "ids.parquet")
    assert ids.rows() == [("i0", [1, 2], 1), ("i1", [3, 4], 0)]


def test_only_vectors_are_matrices(opened, tmp_path):
    with pytest.raises(UsageError, match="only vectors are written as npy, not kind 'codes'"):
        export_feature(opened, "item_text", out=tmp_path / "ids.npy", kind="codes")
