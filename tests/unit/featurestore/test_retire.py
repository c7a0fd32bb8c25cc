"""Rows of entities that are gone leave texts and vectors, and nothing else does."""

from pathlib import Path

import pyarrow as pa
import pytest

from featurestore.features import FeatureRegistry
from featurestore.jobs.lock import FeatureLock
from featurestore.refresh.retire import RetireReport, retire_gone
from featurestore.schema import ITEMS, TEXTS, vectors
from featurestore.spec import (
    AnySpec,
    EncoderSpec,
    Entity,
    ImportedTextSpec,
    ImportedVectorSpec,
    table_name,
)
from featurestore.store import Store
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore

ENCODER = EncoderSpec(
    name="e", model="m", pooling="mean", normalized=True, embedding_dim=2, max_tokens=8, dtype="float32"
)


@pytest.fixture(params=["memory", "lancedb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    store = MemoryStore() if request.param == "memory" else connect(str(tmp_path / "store"))
    _put_items(store, "abc")
    return store


def _put_items(store: Store, ids: str) -> None:
    rows = [{"item_id": item_id, "title": "T"} for item_id in ids]
    store.replace("source.items", pa.Table.from_pylist(rows, schema=ITEMS))


def _put_texts(store: Store, ids: str, entity: Entity = "item") -> str:
    spec = ImportedTextSpec(
        feature=f"{entity}_text", view="text", entity=entity, producer="p", content_digest="0" * 32
    )
    rows = [
        {"id": i, "status": "ok", "text": "T", "fingerprint": "f", "attempts": 1, "run_id": "r"} for i in ids
    ]
    return _register(store, spec, pa.Table.from_pylist(rows, schema=TEXTS))


def _put_vectors(store: Store, ids: str) -> str:
    spec = ImportedVectorSpec(
        feature="item_text",
        view="text",
        entity="item",
        producer="p",
        content_digest="1" * 32,
        encoder=ENCODER,
    )
    rows = [{"id": i, "vector": [1.0, 0.0], "text_digest": "d", "run_id": "r"} for i in ids]
    return _register(store, spec, pa.Table.from_pylist(rows, schema=vectors(2)))


def _register(store: Store, spec: AnySpec, rows: pa.Table) -> str:
    store.upsert(table_name(spec), rows, key="id")
    FeatureRegistry(store).register(spec)
    return table_name(spec)


def _ids(store: Store, table: str) -> list[str]:
    return sorted(store.read(table, columns=["id"])["id"].to_pylist())


def test_texts_and_vectors_of_items_that_are_gone_go(store: Store) -> None:
    texts, matrix = _put_texts(store, "abc"), _put_vectors(store, "bc")
    _put_items(store, "ad")
    assert retire_gone(store) == RetireReport(deleted={texts: 2, matrix: 2})
    assert (_ids(store, texts), _ids(store, matrix)) == (["a"], [])


def test_where_nothing_is_gone_no_version_is_made(store: Store) -> None:
    tables = [_put_texts(store, "ab"), _put_vectors(store, "ab")]
    before = [store.latest(table) for table in tables]
    assert retire_gone(store) == RetireReport()
    assert [store.latest(table) for table in tables] == before


def test_users_that_were_never_ingested_are_not_taken_for_gone(store: Store) -> None:
    texts = _put_texts(store, "uv", "user")
    assert retire_gone(store) == RetireReport()
    assert _ids(store, texts) == ["u", "v"]


def test_a_table_that_another_job_writes_is_left_to_it(store: Store) -> None:
    texts, matrix = _put_texts(store, "abc"), _put_vectors(store, "abc")
    _put_items(store, "ab")
    with FeatureLock(store.objects, texts):
        assert retire_gone(store) == RetireReport(deleted={matrix: 1}, busy={texts: 1})
    assert retire_gone(store) == RetireReport(deleted={texts: 1})
