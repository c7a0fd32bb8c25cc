"""Sessions of a store: official split, whole sessions in the test part."""

import numpy as np
import polars as pl
import pytest

from featurestore.errors import InputError, UsageError
from featurestore.gates.policy import GatePolicy
from featurestore.ingest import IngestRequest, ingest
from featurestore.reader import FeatureStore
from featurestore.releases.publish import publish
from featurestore.splits import SplitPolicy
from featurestore.stores.memory import MemoryStore
from recommender.evaluation.measurement import load_yardstick, measure
from recommender.evaluation.tasks import load_task
from recommender.experiment import TrainRequest, train_models
from recommender.saved import load_model

SESSIONS = {"train": ["abc", "abd", "aba", "cd"], "valid": ["ab"], "test": ["acab", "b", "ba"]}


def release_of(folder, sessions):
    rows = [
        {"user_id": f"{part}{n}", "item_id": item, "position": place, "part": part}
        for part, texts in sessions.items()
        for n, text in enumerate(texts)
        for place, item in enumerate(text)
    ]
    pl.DataFrame(rows).write_parquet(folder / "events.parquet")
    store = MemoryStore("sessions")
    request = IngestRequest(
        files={"interactions": folder / "events.parquet"}, split=SplitPolicy(method="official")
    )
    ingest(store, request)
    publish(store, gates=GatePolicy())
    return FeatureStore(store).release()


def test_test_sessions_are_expanded_into_prefixes(tmp_path):
    release = release_of(tmp_path, SESSIONS)
    task = load_task(release, "sessions")
    items, users = release.id_map("item").ids, release.id_map("user").ids
    asked = {
        (users[task.owners[row]], "".join(items[i] for i in task.histories.of(row)), items[target])
        for row, target in zip(task.held_out.users, task.held_out.items, strict=True)
    }
    assert asked == {
        ("test0", "a", "c"), ("test0", "ac", "a"), ("test0", "aca", "b"), ("test2", "b", "a"),
    }  # fmt: skip
    assert sorted(task.profiles.degrees.tolist()) == [1, 1, 2, 2]
    assert (task.num_train_users, int(task.item_degrees.sum())) == (4, 10)


def test_all_items_are_ranked_after_a_prefix(tmp_path):
    release = release_of(tmp_path, SESSIONS)
    train_models(release, TrainRequest("popularity"), tmp_path / "p")
    yardstick = load_yardstick(release, "sessions")
    found = measure(load_model(tmp_path / "p").model, yardstick, cutoffs=(1, 4)).metrics
    # In training a has 3 sessions, b 3, c 2, d 2: a and b share rank 0, c and d rank 2.
    by_target = {
        release.id_map("item").ids[i]: v
        for i, v in zip(yardstick.task.held_out.items, found.per_user["hr@1"], strict=True)
    }
    assert by_target == {"a": 0.5, "b": 0.5, "c": 0.0}
    assert found.per_user["hr@4"].tolist() == [1.0] * 4
    units = yardstick.task.units(found.users)
    assert len(np.unique(units)) == 2


def test_no_session_of_two_items_is_refused(tmp_path):
    release = release_of(tmp_path, SESSIONS | {"test": ["a", "b"]})
    with pytest.raises(
        InputError, match=r"so there is no session to test on\.\n  Ingest with the official split"
    ):
        load_task(release, "sessions")


def test_negatives_are_sampled_for_users_only(tmp_path):
    release = release_of(tmp_path, SESSIONS)
    with pytest.raises(UsageError, match="negatives are sampled for users, not for sessions"):
        load_yardstick(release, "sessions", num_negatives=2)
