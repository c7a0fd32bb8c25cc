"""Whole public data sets: counts exactly as given with them, splits as given, imports with their events."""

from pathlib import Path

import polars as pl
import pytest

from featurestore import id_maps
from featurestore.features import FeatureRegistry
from featurestore.imports import import_feature
from featurestore.ingest import IngestReport, IngestRequest, ingest
from featurestore.sources.source import ROLES, Role
from featurestore.splits import SplitMethod, SplitPolicy
from featurestore.store import Store
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore

pytestmark = pytest.mark.real_data


def ingest_folder(
    store: Store, folder: Path, split: SplitMethod, columns: dict[Role, dict[str, str]] | None = None
) -> IngestReport:
    files = {role: folder / f"{role}.parquet" for role in ROLES if (folder / f"{role}.parquet").exists()}
    request = IngestRequest(files, columns=columns or {}, split=SplitPolicy(method=split))
    return ingest(store, request)


def counts(report: IngestReport) -> tuple[int, int, int]:
    assert all(not each.quarantined and each.read == each.kept for each in report.files)
    found = report.suitability
    return found.num_users, found.num_items, found.num_interactions


def test_beauty_in_lancedb_complete_and_again(data_folder: Path, tmp_path: Path) -> None:
    store = connect(str(tmp_path / "store"))
    folder = data_folder / "amazon14-beauty"
    columns: dict[Role, dict[str, str]] = {"items": {"categories": "category_paths"}}
    report = ingest_folder(store, folder, "official", columns)
    assert counts(report) == (22_363, 12_101, 198_502)
    assert report.split is not None
    assert report.split.counts == {"train": 153_776, "valid": 22_363, "test": 22_363}
    given = pl.read_parquet(folder / "interactions.parquet").sort("user_id", "position")
    stored = pl.DataFrame(store.read("source.interactions"))
    assert (
        stored.select("user_id", "item_id", "part").rows()
        == given.select("user_id", "item_id", "split").rows()
    )
    assert report.suitability.held_out_items == 33
    coverage = {each.field: each.coverage for each in report.suitability.fields}
    assert coverage["title"] > 0.999
    assert coverage["brand"] == pytest.approx(0.82, abs=0.01)
    assert coverage["categories"] == 1.0
    assert coverage["description"] == 0.0
    assert report.suitability.verdict.startswith("Worth a language model's cost")
    assert " > " in store.read("source.items", columns=["categories"])["categories"][0].as_py()
    assert len(id_maps.load(store, "user")) == 22_363
    assert ingest_folder(store, folder, "official", columns).changed_tables == ()


def test_leave_one_out_reproduces_beautys_own_split(data_folder: Path) -> None:
    checksums = [
        report.split.checksum
        for method in ("official", "leave_one_out")
        if (report := ingest_folder(MemoryStore(), data_folder / "amazon14-beauty", method)).split
    ]
    assert checksums[0] == checksums[1]


def test_movielens_is_cut_in_time(data_folder: Path) -> None:
    store = MemoryStore()
    report = ingest_folder(store, data_folder / "ml-100k", "temporal")
    assert counts(report) == (943, 1_682, 100_000)
    events = pl.DataFrame(store.read("source.interactions"))
    span = events.group_by("part").agg(
        pl.len(), first=pl.col("timestamp").min(), last=pl.col("timestamp").max()
    )
    parts = {row["part"]: row for row in span.to_dicts()}
    assert parts["train"]["last"] < parts["valid"]["first"]
    assert parts["valid"]["last"] < parts["test"]["first"]
    assert parts["test"]["len"] == pytest.approx(10_000, abs=50)
    items = pl.DataFrame(store.read("source.items", ids=["1"], key="item_id")).to_dicts()[0]
    assert items["title"] == "Toy Story"
    assert items["directors"] == ["John Lasseter"]


def test_lastfm_and_its_texts(data_folder: Path) -> None:
    store, folder = MemoryStore(), data_folder / "colakg-lastfm"
    report = ingest_folder(store, folder, "official")
    assert counts(report) == (1_859, 2_813, 57_786 + 13_508)
    assert report.split is not None
    assert report.split.counts["test"] == 13_508
    assert report.split.counts["train"] + report.split.counts["valid"] == 57_786
    assert report.split.counts["valid"] == pytest.approx(5_779, abs=200)
    items = import_feature(
        store,
        feature="llm_profile",
        table=folder / "items.parquet",
        key="item_id",
        text="llm_profile",
        producer="DeepSeek, by CoLaKG",
        entity="item",
    )
    users = import_feature(
        store,
        feature="llm_taste",
        table=folder / "users.parquet",
        key="user_id",
        text="llm_profile",
        producer="DeepSeek, by CoLaKG",
        entity="user",
        events="current:train",
    )
    assert (items.kept, items.coverage, items.quarantined) == (2_813, 1.0, {})
    assert (users.kept, users.coverage, users.quarantined) == (1_859, 1.0, {})
    assert users.event_set == report.split.event_set("train")
    heads = FeatureRegistry(store).heads("text")
    assert [head.spec.feature for head in heads] == ["llm_profile", "llm_taste"]


def test_gowalla_has_nothing_but_ids(data_folder: Path) -> None:
    store = MemoryStore()
    report = ingest_folder(store, data_folder / "gowalla", "official")
    assert counts(report) == (29_858, 40_981, 1_027_370)
    assert report.split is not None
    assert report.split.counts["test"] == 217_242
    assert store.read("source.items", ids=["0"], key="item_id")["title"].to_pylist() == [None]
    assert report.suitability.verdict.startswith("Not worth a language model's cost")


def test_office_items_alone(data_folder: Path) -> None:
    report = ingest_folder(MemoryStore(), data_folder / "amazon18-office", "none")
    assert counts(report) == (0, 3_459, 0)
    assert report.split is None
    description = next(each for each in report.suitability.fields if each.field == "description")
    assert description.coverage == pytest.approx(0.935, abs=0.002)


def test_agent4rec_has_all_three_parts(data_folder: Path) -> None:
    report = ingest_folder(MemoryStore(), data_folder / "agent4rec-ml1m", "official")
    assert counts(report) == (1_000, 3_292, 185_249)
    assert report.split is not None
    assert report.split.counts == {"train": 74_271, "valid": 55_486, "test": 55_492}
