"""LightGCN without text on a real catalogue, for a few epochs."""

import numpy as np
import polars as pl
import pytest

from featurestore.progress import no_progress
from recommender.data import TrainingData, training_data
from recommender.evaluate import evaluate_ranking
from recommender.models import lightgcn, popularity

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


def beauty(folder) -> TrainingData:
    events = pl.read_parquet(folder / "amazon14-beauty" / "interactions.parquet")
    rows = events.select(
        user=pl.col("user_id").cast(pl.Categorical).to_physical().rank("dense") - 1,
        item=pl.col("item_id").cast(pl.Categorical).to_physical().rank("dense") - 1,
        part=pl.col("split"),
    ).cast({"user": pl.Int64, "item": pl.Int64})
    parts = {
        part: tuple(rows.filter(part=part).select("user", "item").to_numpy().T.astype(np.int64))
        for part in ("train", "valid")
    }
    return training_data(num_users=22_363, num_items=12_101, train=parts["train"], valid=parts["valid"])


def test_a_few_epochs_beat_popularity_on_validation(data_folder):
    data = beauty(data_folder)
    assert (len(data.train_users), len(data.valid)) == (153_776, 22_363)
    control = popularity.Model(popularity.Config())
    control.fit(data, features=None, seed=0, progress=no_progress)
    floor = evaluate_ranking(control.score, data.valid).means()
    assert floor["ndcg@10"] == pytest.approx(0.0080, abs=0.0005)
    model = lightgcn.Model(lightgcn.Config(epochs=6, eval_every=6))
    report = model.fit(data, features=None, seed=0, progress=no_progress)
    reached = evaluate_ranking(model.score, data.valid).means()
    assert reached["ndcg@10"] == report.best_metric
    assert reached["ndcg@10"] > 3 * floor["ndcg@10"]
    assert reached["recall@20"] > 3 * floor["recall@20"]
