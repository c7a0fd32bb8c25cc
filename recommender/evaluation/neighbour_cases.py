"""What items are near to: by the vectors that a model learned of them, and by those of their texts.

LGHRec (arXiv 2505.12396) claims that a semantic ID places an item of few events where its own ID vector
cannot. Neighbours are by cosine, ties by row. Whether they mean anything is asked of the validation part: of
those who took an item there, had anybody taken its neighbour before? The test part is not read. The paper
shows no such case; the measures are our reconstruction.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from featurestore.errors import InputError
from featurestore.graphs.nearest import nearest as nearest_rows
from featurestore.graphs.ranking import checked_vectors
from recommender.data import FloatArray, IntArray, TrainingData

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Neighbourhood:
    """Neighbours of some items by one kind of vector.

    Attributes:
        neighbours: (m, k) int64 rows of items, nearest first.
        degree: Mean training users of a neighbour.
        taken_before: Of the items that somebody took in the validation part, the mean share of neighbours
            that one of these users had in training; NaN if nobody took any.
    """

    neighbours: IntArray
    degree: float
    taken_before: float


@dataclass(frozen=True)
class NeighbourCases:
    """Cold items, and what is near to them.

    Attributes:
        items: (m,) int64 rows of cold items, ascending.
        max_degree: They have at most so many training users.
        by_id: By the vectors that a model learned.
        by_text: By the vectors of texts.
        overlap: Mean share of neighbours that both name.
        taken_before_by_chance: `Neighbourhood.taken_before` of any item.
    """

    items: IntArray
    max_degree: int
    by_id: Neighbourhood
    by_text: Neighbourhood
    overlap: float
    taken_before_by_chance: float


def neighbour_cases(
    data: TrainingData, by_id: FloatArray, by_text: FloatArray, *, max_degree: int, top_k: int
) -> NeighbourCases:
    """Compare both kinds of neighbours of all cold items. Costs a product of these with all items.

    Args:
        data: Of the release that both are of.
        by_id: (num_items, d) float32; a row of zeros stands for no vector.
        by_text: (num_items, d') float32, the same.
        max_degree: Training users of a cold item, at most; it has one at least, or no model learned anything.
        top_k: Neighbours.

    Raises:
        InputError: If no more than ``top_k`` items have both vectors.
    """
    degrees = data.item_degrees
    known: BoolArray = np.asarray(by_id.any(axis=1) & by_text.any(axis=1))
    if top_k >= known.sum():
        raise InputError(
            f"{known.sum()} items have both vectors: none has {top_k} neighbours.",
            hint="Lower --top-k, or embed more items.",
        )
    items = np.flatnonzero((degrees > 0) & (degrees <= max_degree) & known)
    had = _had(data, items)
    first, second = (
        _neighbourhood(nearest(vectors, items, known, top_k), items, degrees, had)
        for vectors in (by_id, by_text)
    )
    pairs = zip(first.neighbours, second.neighbours, strict=True)
    shared = [len(np.intersect1d(ours, theirs)) / top_k for ours, theirs in pairs]
    chances = [others[known].mean() for others in had.values()]
    return NeighbourCases(
        items=items,
        max_degree=max_degree,
        by_id=first,
        by_text=second,
        overlap=float(np.mean(shared)) if shared else float("nan"),
        taken_before_by_chance=float(np.mean(chances)) if chances else float("nan"),
    )


def nearest(vectors: FloatArray, rows: IntArray, allowed: BoolArray, top_k: int) -> IntArray:
    """(m, k) int64: the allowed rows of greatest cosine to each of (m,) rows, themselves left out.

    Args:
        vectors: (n, d) float32.
        rows: Whose neighbours; allowed themselves.
        allowed: (n,) bool, more than ``top_k`` of them; their vectors are not zero.
        top_k: How many.
    """
    kept = np.flatnonzero(allowed)
    among = checked_vectors(vectors[kept])
    found = nearest_rows(among, np.searchsorted(kept, rows), top_k).lists(top_k)
    return kept[found.neighbors]


def _neighbourhood(
    neighbours: IntArray, items: IntArray, degrees: IntArray, had: dict[int, BoolArray]
) -> Neighbourhood:
    pairs = zip(items.tolist(), neighbours, strict=True)
    shares = [had[item][row].mean() for item, row in pairs if item in had]
    return Neighbourhood(
        neighbours=neighbours,
        degree=float(degrees[neighbours].mean()) if neighbours.size else float("nan"),
        taken_before=float(np.mean(shares)) if shares else float("nan"),
    )


def _had(data: TrainingData, items: IntArray) -> dict[int, BoolArray]:
    """Item → (num_items,) bool, what its validation users had in training; absent if it has none."""
    wanted = set(items.tolist())
    found: dict[int, BoolArray] = {}
    for user, item in zip(data.valid.users.tolist(), data.valid.items.tolist(), strict=True):
        if item in wanted:
            row = found.setdefault(item, np.zeros(data.num_items, np.bool_))
            row[data.seen.of(user)] = True
    return found
