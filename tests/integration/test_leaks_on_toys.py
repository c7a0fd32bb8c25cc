"""P5's numbering of a real catalogue against the rows that an ingest gives it."""

import numpy as np
import polars as pl
import pytest

from featurestore.gates.policy import GatePolicy
from featurestore.ingest import IngestRequest, ingest
from featurestore.reader import FeatureStore, Release
from featurestore.releases.publish import publish
from featurestore.splits import SplitPolicy
from featurestore.stores.memory import MemoryStore
from recommender.data import load_histories
from recommender.evaluation.tasks import load_test_data
from recommender.leaks.id_order import check_id_order, judge_order

pytestmark = [pytest.mark.real_data]


@pytest.fixture(scope="module")
def toys(data_folder) -> Release:
    store = MemoryStore("toys")
    files = {"interactions": data_folder / "amazon14-toys" / "interactions.parquet"}
    ingest(store, IngestRequest(files=files, split=SplitPolicy(method="official")))
    publish(store, gates=GatePolicy())
    return FeatureStore(store).release()


def test_rows_of_an_ingest_do_not_tell_what_comes_next(toys):
    (rows,) = check_id_order(toys)
    assert rows.verdict == "ok"
    assert rows.figures["num_users"] == 19_412
    assert rows.figures["ndcg@5"] < 0.001


def test_numbers_in_the_order_of_the_sequences_do(toys, data_folder):
    file = pl.read_parquet(data_folder / "amazon14-toys" / "interactions.parquet", columns=["item_id"])
    in_order = toys.id_map("item").row_of(file["item_id"].unique(maintain_order=True).to_list())
    places = np.empty(len(in_order), np.int64)
    places[in_order] = np.arange(len(in_order))
    histories = load_histories(toys, "train", "valid")
    last_items = histories.newest(np.arange(len(histories)), 1)[:, 0]
    result = judge_order(places, last_items, load_test_data(toys))
    assert result.leaks
    assert result.score.ndcg == pytest.approx(0.0442, abs=0.0001)  # as measured on P5's own ids
