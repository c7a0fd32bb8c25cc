from pathlib import Path

import numpy as np
import polars as pl
import pytest

from featurestore.errors import UsageError
from featurestore.gates.policy import GatePolicy
from featurestore.graphs import open_builder
from featurestore.graphs.build import build_graph
from featurestore.imports import import_feature
from featurestore.ingest import IngestRequest, ingest
from featurestore.reader import FeatureStore, Release
from featurestore.releases.publish import publish
from featurestore.splits import SplitPolicy
from featurestore.stores.memory import MemoryStore
from recommender.data import TrainingData, load_training_data, training_data
from recommender.features import EntityFeatures, NodeFeatures, entity_features
from recommender.interests.user_graph import user_neighbors, user_vectors

NUM_USERS, NUM_ITEMS = 12, 9


def some_data() -> TrainingData:
    """Eleven users with four items each, and one without."""
    generator = np.random.default_rng(2)
    items = np.concatenate([generator.permutation(NUM_ITEMS)[:4] for _ in range(NUM_USERS - 1)])
    none = np.array([], np.int64)
    users = np.repeat(np.arange(NUM_USERS - 1), 4)
    return training_data(num_users=NUM_USERS, num_items=NUM_ITEMS, train=(users, items), valid=(none, none))


def drawn(count: int, missing: int, seed: int) -> EntityFeatures:
    matrix = np.random.default_rng(seed).standard_normal((count, 5)).astype(np.float32)
    has_vector = np.arange(count) != missing
    matrix[~has_vector] = 0.0
    return EntityFeatures(matrix, has_vector)


def nearest_by_hand(vectors: dict[int, np.ndarray], count: int) -> dict[int, set[int]]:
    found = {}
    for user, own in vectors.items():
        scores = {
            other: float(own @ theirs) / np.linalg.norm(own) / np.linalg.norm(theirs)
            for other, theirs in vectors.items()
            if other != user
        }
        found[user] = set(sorted(scores, key=lambda other: -scores[other])[:count])
    return found


def as_sets(neighbors: np.ndarray) -> dict[int, set[int]]:
    return {user: {*row[row >= 0].tolist()} for user, row in enumerate(neighbors)}


def test_users_resemble_those_with_the_nearest_vectors():
    users = drawn(NUM_USERS, 4, seed=1)
    found = user_neighbors("features", 3, some_data(), NodeFeatures(users=users), seed=0)
    assert found.shape == (NUM_USERS, 3)
    vectors = {user: users.matrix[user].astype(np.float64) for user in range(NUM_USERS) if user != 4}
    assert as_sets(found) == nearest_by_hand(vectors, 3) | {4: set()}


def test_without_vectors_of_users_the_mean_of_training_items_stands_for_them():
    data, items = some_data(), drawn(NUM_ITEMS, 7, seed=3)
    means = {}
    for user in range(NUM_USERS - 1):
        known = [item for item in data.seen.of(user) if item != 7]
        means[user] = items.matrix[known].astype(np.float64).mean(axis=0)
    found = user_vectors(data, NodeFeatures(items))
    assert found.has_vector.tolist() == [True] * 11 + [False]
    np.testing.assert_allclose(found.matrix[:11], np.stack([*means.values()]), rtol=1e-5, atol=1e-6)
    neighbors = user_neighbors("features", 4, data, NodeFeatures(items), seed=0)
    assert as_sets(neighbors) == nearest_by_hand(means, 4) | {11: set()}


def test_users_resemble_those_with_common_items():
    data = some_data()
    neighbors = as_sets(user_neighbors("interactions", 5, data, None, seed=0))
    for user in range(NUM_USERS):
        own = {*data.seen.of(user).tolist()}
        common = [len(own & {*data.seen.of(other).tolist()}) for other in range(NUM_USERS)]
        common[user] = 0
        others = [other for other in range(NUM_USERS) if common[other]]
        expected = sorted(others, key=lambda other: (-common[other], other))[:5]
        assert neighbors[user] == {*expected}, user  # all have four items: cosines are counts


def test_random_neighbours_are_distinct_others_and_differ_by_seed():
    data = some_data()
    one, same, other = (user_neighbors("random", 6, data, None, seed=seed) for seed in (0, 0, 1))
    assert all(len(found) == 6 and user not in found for user, found in as_sets(one).items())
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    everyone = as_sets(user_neighbors("random", 100, data, None, seed=0))
    assert all(len(found) == NUM_USERS - 1 for found in everyone.values())
    counts = np.bincount(
        np.concatenate([user_neighbors("random", 3, data, None, seed=s) for s in range(200)]).ravel()
    )
    assert counts.min() > 0.8 * counts.mean()


def test_nobody_has_neighbours_in_no_graph():
    assert user_neighbors("none", 5, some_data(), None, seed=0).shape == (NUM_USERS, 0)


@pytest.mark.parametrize("kind", ["features", "interactions"])
def test_one_user_has_no_neighbours(kind):
    none = np.array([], np.int64)
    data = training_data(num_users=1, num_items=3, train=(np.zeros(2, int), np.arange(2)), valid=(none, none))
    found = user_neighbors(kind, 2, data, NodeFeatures(users=drawn(1, -1, seed=0)), seed=0)
    assert found.tolist() == [[-1, -1]]


def test_without_vectors_there_is_nothing_to_compare_by():
    with pytest.raises(UsageError, match=r"compared by vectors of a release, and none were given\.\n  Pass"):
        user_neighbors("features", 3, some_data(), None, seed=0)


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Release:
    """A release with vectors of items and users, and the graphs of both."""
    folder = tmp_path_factory.mktemp("graphs")
    generator = np.random.default_rng(7)
    events = [
        {"user_id": f"u{user}", "item_id": f"i{item}"}
        for user in range(25)
        for item in generator.permutation(40)[:7]
    ]
    pl.DataFrame(events).write_parquet(folder / "events.parquet")
    pl.DataFrame({"item_id": [f"i{n}" for n in range(40)], "title": ["x"] * 40}).write_parquet(
        folder / "items.parquet"
    )
    store = MemoryStore("graphs")
    files = {"items": folder / "items.parquet", "interactions": folder / "events.parquet"}
    ingest(store, IngestRequest(files=files, split=SplitPolicy(method="leave_one_out")))
    for entity, count in (("item", 40), ("user", 23)):
        _import(store, folder, entity, generator.normal(size=(count, 6)))
    shared = {"view": "text", "num_neighbors": 4, "builder": open_builder("exact")}
    build_graph(store, feature="item_made", entity_users="mean_of_train_items", **shared)
    build_graph(store, feature="user_made", entity_users="own", **shared)
    publish(store, gates=GatePolicy())
    return FeatureStore(store).release()


def _import(store: MemoryStore, folder: Path, entity: str, vectors: np.ndarray) -> None:
    rows = [{"id": f"{entity[0]}{row}", "v": vector.tolist()} for row, vector in enumerate(vectors)]
    pl.DataFrame(rows).write_parquet(folder / f"{entity}.parquet")
    import_feature(
        store,
        feature=f"{entity}_made",
        table=folder / f"{entity}.parquet",
        key="id",
        vector="v",
        producer="a test",
        entity=entity,
        encoder_name=entity,
        **({"events": "current:train"} if entity == "user" else {}),
    )


@pytest.mark.parametrize(("side", "view"), [("user", "text"), ("item", "text-users")])
def test_a_stored_graph_has_the_same_edges(release, side, view):
    stored = release.graph(f"{side}_made", view).on_rows(release.id_map("user"))
    features = entity_features(release, side, f"{side}_made")
    given = NodeFeatures(**{f"{side}s": features})
    ours = user_neighbors("features", 4, load_training_data(release), given, seed=0)
    assert len(stored.indices) > 80
    for user in range(25):
        edges = stored.indices[stored.indptr[user] : stored.indptr[user + 1]]
        assert ours[user][ours[user] >= 0].tolist() == edges.tolist()
