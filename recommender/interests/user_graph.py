"""Users who resemble each other: the graph of group interests, and the graphs that test it.

ISRF (arXiv 2603.13934), eq. 6: S_uv = 1 if v is among the K users v ≠ u with the largest cos(s_u, s_v).

    features        s_u: u's vector in the release; without vectors of users, the mean of those of the
                    distinct items that u trained on
    interactions    s_u: u's training items, binary
    random          K other users, each alike
    none            nobody: H is one more vector per user, and no group's

``features`` compares vectors as they are stored, by the project's own exact builder: `featurestore graph`
gives the same edges, unless cosines are equal (here lower rows come first, there lower ids) or, of means,
differ in their last bits only.

Letters: U users, K neighbours, d dimensions.
"""

from typing import Literal, TypeAlias

import numpy as np

from featurestore.errors import UsageError
from featurestore.graphs.blocked import BlockedGraphBuilder
from recommender.data import FloatArray, IntArray, TrainingData
from recommender.features import EntityFeatures, NodeFeatures
from recommender.graph.sparse import item_cosines, largest_per_row, profile_rows

UserGraph: TypeAlias = Literal["features", "interactions", "random", "none"]


def user_neighbors(
    kind: UserGraph, num_neighbors: int, data: TrainingData, features: NodeFeatures | None, *, seed: int
) -> IntArray:
    """Eq. 6, or a control of it. Held-out events are not read.

    Cost: U² · d products for ``features``; for ``interactions`` Σ over items of (users of the item)².

    Args:
        kind: See the module's head.
        num_neighbors: K.
        data: Its training events.
        features: Vectors that users are compared by.
        seed: Of the random graph.

    Returns:
        (U, k) int64 rows of users, k ≤ K, -1 where a user has fewer: one without vector has none, and is
        nobody's neighbour.

    Raises:
        UsageError: If ``features`` is asked for and there are none.
    """
    match kind:
        case "features":
            return _nearest(user_vectors(data, features), num_neighbors)
        case "interactions":
            return _with_common_items(data, num_neighbors)
        case "random":
            return _drawn(data.num_users, num_neighbors, np.random.default_rng([seed, 0x6]))
        case "none":
            return np.empty((data.num_users, 0), np.int64)


def user_vectors(data: TrainingData, features: NodeFeatures | None) -> EntityFeatures:
    """Users' own vectors, or the means of those of their distinct training items (`mean_of_train_items`).

    Raises:
        UsageError: If there are neither.
    """
    if features is not None and features.users is not None:
        return features.users
    if features is None or features.items is None:
        raise UsageError(
            "users are compared by vectors of a release, and none were given.",
            hint="Pass --user-features FEATURE or --features FEATURE; or compare users by what they had: "
            "--set user_graph=interactions.",
        )
    items = features.items
    counts = np.bincount(data.train_users[items.has_vector[data.train_items]], minlength=data.num_users)
    shares = (1.0 / np.maximum(counts, 1)).astype(np.float32)[data.train_users]  # (n,)
    means = profile_rows(data.seen.indptr, data.seen.items, data.num_items, shares).times_dense(items.matrix)
    return EntityFeatures(means, counts > 0, items.spec_digests, items.control)


def _nearest(vectors: EntityFeatures, num_neighbors: int) -> IntArray:
    neighbors = np.full((len(vectors.matrix), num_neighbors), -1, np.int64)
    placed = np.flatnonzero(vectors.has_vector & (np.linalg.norm(vectors.matrix, axis=1) > 0))
    if len(placed) > 1:
        found = BlockedGraphBuilder().build(_rows(vectors.matrix, placed), num_neighbors).neighbors  # (n, K)
        neighbors[placed] = np.where(found >= 0, placed[found], -1)
    return neighbors


def _rows(matrix: FloatArray, rows: IntArray) -> FloatArray:
    return np.ascontiguousarray(matrix[rows], np.float32)


def _with_common_items(data: TrainingData, num_neighbors: int) -> IntArray:
    had = profile_rows(data.seen.indptr, data.seen.items, data.num_items)  # (U, I)
    best = largest_per_row(item_cosines(had.transposed()), num_neighbors)  # (U, U)
    neighbors = np.full((data.num_users, num_neighbors), -1, np.int64)
    users = np.repeat(np.arange(data.num_users), best.lengths)
    neighbors[users, np.arange(len(users)) - best.indptr[users]] = best.columns
    return neighbors


def _drawn(num_users: int, num_neighbors: int, generator: np.random.Generator) -> IntArray:
    count = min(num_neighbors, num_users - 1)
    drawn = np.empty((num_users, count), np.int64)
    for user in range(num_users):
        drawn[user] = generator.choice(num_users - 1, size=count, replace=False)
    return drawn + (drawn >= np.arange(num_users)[:, None])
