"""A small release, and records made by hand, for tests of the study."""

from pathlib import Path

import numpy as np
import polars as pl

from featurestore.gates.policy import GatePolicy
from featurestore.imports import import_feature
from featurestore.ingest import IngestRequest, ingest
from featurestore.releases.publish import publish
from featurestore.splits import SplitPolicy
from featurestore.store import Store
from recommender.base import FitReport
from recommender.evaluation.strata import Stratum
from recommender.hgpo.reading import PolicyReading
from recommender.metrics import RankGroups, ranking_metrics
from scripts.study.code_version import run_version
from scripts.study.records import Pairs, Records
from scripts.study.runs import DatasetFacts, Record, Run

NUM_USERS, NUM_ITEMS = 40, 20
FACTS = DatasetFacts(
    data="d" * 32, num_users=NUM_USERS, num_items=NUM_ITEMS, num_train=120, num_valid=40, num_test=40
)


def small_release(store: Store, folder: Path) -> None:
    """Even users have even items, odd users odd ones; ``item_text`` says which is which."""
    generator = np.random.default_rng(0)
    events = [
        {"user_id": f"u{user}", "item_id": f"i{item}"}
        for user in range(NUM_USERS)
        for item in generator.permutation([i for i in range(NUM_ITEMS) if i % 2 == user % 2])[:6]
    ]
    items = [{"item_id": f"i{i}", "title": f"Item {i}"} for i in range(NUM_ITEMS)]
    vectors = [
        {"item": f"i{i}", "v": [1.0 - 2 * (i % 2), *generator.normal(0, 0.3, 5)]} for i in range(NUM_ITEMS)
    ]
    tables = {"interactions": events, "items": items, "vectors": vectors}
    files = {name: folder / f"{name}.parquet" for name in tables}
    for name, rows in tables.items():
        pl.DataFrame(rows).write_parquet(files[name])
    vectors_file = files.pop("vectors")
    ingest(store, IngestRequest(files=files, split=SplitPolicy(method="leave_one_out")))
    import_feature(
        store,
        feature="item_text",
        table=vectors_file,
        key="item",
        vector="v",
        producer="a test",
        entity="item",
        encoder_name="toy",
    )
    publish(store, gates=GatePolicy())


def current_key(run: Run) -> str:
    """Of a record of the present code."""
    return run.key(run_version(run), FACTS.data)


def write_record(
    records: Records,
    run: Run,
    better: list[int],
    *,
    key: str | None = None,
    code: str = "c",
    validation: dict[str, float] | None = None,
    policy: tuple[PolicyReading, ...] = (),
) -> Record:
    """A current record, unless it has a key; user u has one test item, ``better[u]`` items above it."""
    ranks = np.array(better)
    users = np.arange(len(better))
    pairs = Pairs(users, np.full_like(users, 5), np.full_like(users, 4))
    records.describe(run.dataset, FACTS, pairs)
    groups = RankGroups(users, ranks, np.ones_like(ranks))
    test = ranking_metrics(groups).means()
    record = Record(
        key=key or current_key(run),
        run=run,
        code=code,
        data=FACTS.data,
        config={},
        versions={},
        threads=1,
        fit=FitReport(epochs=10, best_epoch=5, seconds=60.0, step_milliseconds=2.0),
        stopped_minutes=None,
        validation=validation or {},
        test=test,
        strata=(
            Stratum("item degree", "1-9", len(users), len(users), test),
            Stratum("item degree", "10-49", 1, 1, dict.fromkeys(test, 0.0)),
        ),
        policy=policy,
        ranks="",
    )
    return records.save(record, ranks, np.ones_like(ranks))
