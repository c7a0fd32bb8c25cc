"""Imports: good rows become a version, bad ones are counted, and what could leak is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from featurestore.errors import InputError, LeakError, RowContractError, UsageError
from featurestore.features import FeatureRegistry
from featurestore.imports import ImportReport, import_feature
from featurestore.ingest import IngestRequest, ingest
from featurestore.spec import Entity, ImportedVectorSpec
from featurestore.splits import current_split
from featurestore.store import Store
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore

EVENTS = [{"user_id": u, "item_id": i, "timestamp": t} for u in "uv" for t, i in enumerate("abc")]


@pytest.fixture(params=["memory", "lancedb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    made = MemoryStore() if request.param == "memory" else connect(str(tmp_path / "store"))
    path = tmp_path / "interactions.parquet"
    pl.DataFrame(EVENTS).write_parquet(path)
    ingest(made, IngestRequest({"interactions": path}))
    return made


def import_texts(
    store: Store,
    folder: Path,
    rows: list[dict[str, Any]],
    *,
    entity: Entity = "item",
    events: str | None = None,
    feature: str = "profile",
) -> ImportReport:
    path = folder / "texts.parquet"
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)
    return import_feature(
        store,
        feature=feature,
        table=path,
        key="id",
        text="text",
        producer="a test",
        entity=entity,
        events=events,
    )


def import_vectors(
    store: Store, folder: Path, rows: list[dict[str, Any]], encoder: str | None = None
) -> ImportReport:
    path = folder / "vectors.jsonl"
    pl.DataFrame(rows, infer_schema_length=None).write_ndjson(path)
    return import_feature(
        store,
        feature="factors",
        table=path,
        key="id",
        vector="v",
        producer="ALS",
        entity="item",
        encoder_name=encoder,
    )


def test_texts_become_a_version_and_bad_rows_are_counted(store: Store, tmp_path: Path) -> None:
    rows = [("b", "B"), ("a", "A"), ("zz", "Z"), ("a", "again"), (None, "x"), ("c", "  ")]
    report = import_texts(store, tmp_path, [{"id": i, "text": t} for i, t in rows])
    assert (report.read, report.kept, report.is_new) == (6, 2, True)
    assert report.quarantined == {"unknown_id": 1, "duplicate_id": 1, "empty_id": 1, "empty_text": 1}
    assert report.examples == {
        "unknown_id": ["zz"],
        "empty_id": ["row 5"],
        "empty_text": ["c"],
        "duplicate_id": ["a"],
    }
    assert report.coverage == pytest.approx(2 / 3)
    found = pl.DataFrame(store.read(report.table))
    assert found.select("id", "status", "text", "event_set").rows() == [
        ("a", "ok", "A", None),
        ("b", "ok", "B", None),
    ]
    head = FeatureRegistry(store).head("text", "profile", "text")
    assert head.spec.digest == report.spec_digest
    assert head.table == report.table


def test_equal_content_in_another_order_is_the_same_version(store: Store, tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}]
    first = import_texts(store, tmp_path, rows)
    again = import_texts(store, tmp_path, rows[::-1])
    assert (again.table, again.is_new) == (first.table, False)
    changed = import_texts(store, tmp_path, [rows[0], rows[1] | {"text": "other"}])
    assert changed.table != first.table
    assert FeatureRegistry(store).head("text", "profile", "text").table == changed.table


def test_texts_of_users_carry_their_events(store: Store, tmp_path: Path) -> None:
    split = current_split(store)
    assert split is not None
    rows = [{"id": "u", "text": "likes a"}]
    for events in ("current:train", f"{split.checksum}:train", f"{split.checksum[:16]}:train"):
        report = import_texts(store, tmp_path, rows, entity="user", events=events)
        assert report.event_set == split.event_set("train")
    assert store.read(report.table)["event_set"].to_pylist() == [split.event_set("train")]
    wider = import_texts(store, tmp_path, rows, entity="user", events="current:train+valid")
    assert wider.event_set == f"{split.checksum[:16]}:train+valid"
    assert wider.is_new
    by_then = import_texts(store, tmp_path, rows, entity="user", events="log:2014-07-01")
    assert by_then.event_set == "log:1404172799"


def test_texts_of_users_without_or_with_other_events_are_refused(store: Store, tmp_path: Path) -> None:
    rows = [{"id": "u", "text": "likes a"}]
    with pytest.raises(
        UsageError, match=r"users needs --events.*\n.*holds test events.*--events current:train"
    ):
        import_texts(store, tmp_path, rows, entity="user")
    with pytest.raises(LeakError, match=f"names the split '{'0' * 32}'; the current one is"):
        import_texts(store, tmp_path, rows, entity="user", events=f"{'0' * 32}:train")
    for events in ("train", ":train", "current:", "current:tain"):
        with pytest.raises(UsageError, match=f"--events is SPLIT:PART, got '{events}'"):
            import_texts(store, tmp_path, rows, entity="user", events=events)


def test_vectors_become_a_version_and_bad_rows_are_counted(store: Store, tmp_path: Path) -> None:
    rows = [
        {"id": "b", "v": [0.0, 2.0]},
        {"id": "a", "v": [3.0, 4.0]},
        {"id": "c", "v": [1.0]},
        {"id": "c", "v": [0.0, 0.0]},
        {"id": "c", "v": [None, 1.0]},
        {"id": "c", "v": None},
        {"id": "q", "v": [1.0, 1.0]},
    ]
    report = import_vectors(store, tmp_path, rows)
    assert report.quarantined == {"wrong_length": 2, "zero_vector": 1, "not_finite": 1, "unknown_id": 1}
    found = store.read(report.table)
    assert found["id"].to_pylist() == ["a", "b"]
    assert np.array(found["vector"].to_pylist()).tolist() == [[3.0, 4.0], [0.0, 2.0]]
    spec = FeatureRegistry(store).head("vector", "factors", "text").spec
    assert isinstance(spec, ImportedVectorSpec)
    assert (spec.encoder.name, spec.encoder.embedding_dim, spec.encoder.normalized) == ("unknown", 2, False)
    assert "ALS" in spec.encoder.model


def test_a_named_encoder_is_the_embedding_space(store: Store, tmp_path: Path) -> None:
    import_vectors(store, tmp_path, [{"id": "a", "v": [0.6, 0.8]}], encoder="als-64")
    spec = FeatureRegistry(store).head("vector", "factors", "text").spec
    assert isinstance(spec, ImportedVectorSpec)
    assert (spec.encoder.name, spec.encoder.model, spec.encoder.normalized) == ("als-64", "als-64", True)


def test_vectors_of_parquet_arrays_are_read(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    frame = pl.DataFrame(
        {"id": ["a"], "v": [[1.0, 2.0]]}, schema={"id": pl.String, "v": pl.Array(pl.Float64, 2)}
    )
    frame.write_parquet(path)
    report = import_feature(store, feature="f", table=path, key="id", vector="v", producer="p", entity="item")
    assert store.read(report.table)["vector"].to_pylist() == [[1.0, 2.0]]


def test_what_cannot_be_imported_says_why(store: Store, tmp_path: Path) -> None:
    rows = [{"id": "x", "text": "A"}]
    with pytest.raises(InputError) as caught:
        import_texts(store, tmp_path, rows)
    assert caught.value.message == "none of the 1 rows of texts.parquet can be imported: unknown_id (1)."
    assert "ids such as ['a', 'b', 'c']; is 'id' that id?" in caught.value.hint
    with pytest.raises(RowContractError, match=r"no column 'text'.*Nearest: 'txt'"):
        import_texts(store, tmp_path, [{"id": "a", "txt": "A"}])
    with pytest.raises(RowContractError, match=r"column 'text' of texts.parquet is Int64; expected text"):
        import_texts(store, tmp_path, [{"id": "a", "text": 1}])
    with pytest.raises(
        RowContractError, match=r"column 'v' of vectors.jsonl is String; expected lists of numbers"
    ):
        import_vectors(store, tmp_path, [{"id": "a", "v": "0.1 0.2"}])
    with pytest.raises(UsageError, match="'a b' cannot name a feature"):
        import_texts(store, tmp_path, [{"id": "a", "text": "A"}], feature="a b")


def test_one_name_is_one_entity(store: Store, tmp_path: Path) -> None:
    import_texts(store, tmp_path, [{"id": "a", "text": "A"}])
    with pytest.raises(UsageError, match="'profile' is a text feature of items already"):
        import_texts(store, tmp_path, [{"id": "u", "text": "U"}], entity="user", events="current:train")


def test_a_store_without_rows_or_events_says_what_comes_first(tmp_path: Path) -> None:
    store = MemoryStore()
    with pytest.raises(UsageError, match=r"has no items yet.*\n.*featurestore ingest"):
        import_texts(store, tmp_path, [{"id": "a", "text": "A"}])
    with pytest.raises(UsageError, match=r"no split yet.*\n.*Ingest interactions first"):
        import_texts(store, tmp_path, [{"id": "u", "text": "U"}], entity="user", events="current:train")


def test_a_text_or_a_vector_but_not_both(tmp_path: Path) -> None:
    for text, vector in ((None, None), ("t", "v")):
        with pytest.raises(UsageError, match="either a text column or a vector column"):
            import_feature(
                MemoryStore(),
                feature="f",
                table=tmp_path / "none",
                key="id",
                text=text,
                vector=vector,
                producer="p",
                entity="item",
            )


def test_a_producer_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the producer is empty\.\n  Say who or what made it"):
        import_feature(
            MemoryStore(),
            feature="f",
            table=tmp_path / "none",
            key="id",
            text="t",
            producer=" ",
            entity="item",
        )
