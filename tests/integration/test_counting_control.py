"""The counting control on real catalogues: the figures that every sequential model has to beat."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from featurestore.progress import no_progress
from recommender.data import HeldOut, Histories, TrainingData, group_by_time, hold_out, training_data
from recommender.evaluate import evaluate_ranking
from recommender.models import counting

pytestmark = pytest.mark.real_data

FIGURES = {
    "amazon14-beauty": {"hr@5": 0.0621, "ndcg@5": 0.0454, "hr@10": 0.0829, "ndcg@10": 0.0521},
    "amazon14-toys": {"hr@5": 0.0746, "ndcg@5": 0.0556, "hr@10": 0.0967, "ndcg@10": 0.0628},
}
"""Full ranking, known from elsewhere. There a tie counts for half of the equals, rounded down; here a metric
is its expected value over their order. Fewer than 40 test items that can be among the first ten are tied."""
COUNTS = {"amazon14-beauty": (22_363, 12_101, 198_502), "amazon14-toys": (19_412, 11_924, 167_597)}


def read(folder: Path) -> tuple[TrainingData, Histories, HeldOut]:
    """Training data, histories with the validation item, test pairs."""
    events = pl.read_parquet(folder / "interactions.parquet").sort("user_id", "position")
    users = events["user_id"].rank("dense").to_numpy().astype(np.int64) - 1
    items = events["item_id"].rank("dense").to_numpy().astype(np.int64) - 1
    num_users, num_items = int(users.max()) + 1, int(items.max()) + 1
    assert (num_users, num_items, len(events)) == COUNTS[folder.name]
    split = events["split"].to_numpy()
    train, valid, test = ((users[split == part], items[split == part]) for part in ("train", "valid", "test"))
    before = users[split != "test"], items[split != "test"]
    held = hold_out(
        *test, seen_users=before[0], seen_items=before[1], num_users=num_users, num_items=num_items
    )
    data = training_data(num_users=num_users, num_items=num_items, train=train, valid=valid)
    return data, group_by_time(*before, num_users), held


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_the_known_figures_come_out(data_folder, name):
    data, histories, held = read(data_folder / name)
    assert (len(held), held.num_repeats) == (data.num_users, 0)  # nobody is left out
    model = counting.Model(counting.Config())
    model.fit(data, features=None, seed=0, progress=no_progress)
    found = evaluate_ranking(model.with_histories(histories).score, held).means()
    assert {metric: found[metric] for metric in FIGURES[name]} == pytest.approx(FIGURES[name], abs=0.0005)
