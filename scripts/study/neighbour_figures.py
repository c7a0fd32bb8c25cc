"""What items are near to by several kinds of vectors, by how often they were trained on.

LGHRec (arXiv 2505.12396) claims that a semantic ID places an item of few events where its own ID vector
cannot. Neighbours are by cosine, among items that have a text and a training user. Two questions are asked
of them. *Had together*: did one of the item's training users have the neighbour too? A model learned its
vectors from just that, so this favours them. *Taken before*: had one of those who took the item in the
validation part had the neighbour in training? No vector knows that. The test part is not read. The paper
shows no such case; the measures are our reconstruction, as in `recommender.evaluation.neighbour_cases`.

Letters: I items, m items that are asked about, k neighbours.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from featurestore.spec import Frozen
from recommender.data import FloatArray, IntArray, TrainingData
from recommender.evaluation.neighbour_cases import BoolArray, nearest

PARTS: Final[tuple[tuple[int, int | None], ...]] = ((1, 4), (5, 9), (10, 49), (50, None))
"""Least and most training users of the items of a part."""
_CHANCE: Final = ""
Shares: TypeAlias = dict[str, npt.NDArray[np.float64]]
"""Kind of vectors → (m,) share of an item's neighbours; NaN where nobody took the item."""


class Side(Frozen):
    """The neighbours that one kind of vectors names.

    Attributes:
        kind: Of vectors.
        overlap: Mean share of them that the vectors of texts name too.
        together: Mean share that one of the item's training users had.
        taken_before: Mean share that one of the item's validation users had in training, over the items that
            somebody took there; None without any.
        degree: Mean training users of a neighbour.
    """

    kind: str
    overlap: float
    together: float
    taken_before: float | None
    degree: float


class Part(Frozen):
    """Items of about as many training users.

    Attributes:
        least: Training users, at least.
        most: At most; None without a bound.
        num_items: Items.
        num_taken: Of these, items that somebody took in the validation part.
        together_by_chance: `Side.together` of any other item.
        taken_before_by_chance: `Side.taken_before` of any other item.
        sides: One per kind of vectors.
    """

    least: int
    most: int | None
    num_items: int
    num_taken: int
    together_by_chance: float
    taken_before_by_chance: float | None
    sides: tuple[Side, ...]


class Case(Frozen):
    """One cold item.

    Attributes:
        item: Its id.
        degree: Its training users.
        near: Kind of vectors → ids of its neighbours, nearest first.
        together: Ids of those that one of its training users had.
    """

    item: str
    degree: int
    near: dict[str, tuple[str, ...]]
    together: tuple[str, ...]


class Neighbours:
    """Neighbours of all items that have a text and a training user.

    Args:
        data: Of the release that all vectors are of.
        vectors: Kind → (I, d) float32; a row of zeros stands for no vector.
        text: The kind that others are compared with.
        top_k: k.

    Attributes:
        items: (m,) int64 rows of the items.
        near: Kind → (m, k) int64 rows.
    """

    def __init__(
        self, data: TrainingData, vectors: Mapping[str, FloatArray], *, text: str, top_k: int
    ) -> None:
        self._data, self._text = data, text
        known: BoolArray = vectors[text].any(axis=1) & (data.item_degrees > 0)
        self.items: IntArray = np.flatnonzero(known)
        self.near = {kind: nearest(rows, self.items, known, top_k) for kind, rows in vectors.items()}
        self._together = self._shares(data.train_users, data.train_items)
        self._taken_before = self._shares(data.valid.users, data.valid.items)

    def parts(self) -> tuple[Part, ...]:
        """Figures by degree; parts without items are left out."""
        degrees = self._data.item_degrees[self.items]
        masks = [(degrees >= least) & (degrees <= (most or degrees.max())) for least, most in PARTS]
        pairs = zip(PARTS, masks, strict=True)
        return tuple(self._part(bounds, inside) for bounds, inside in pairs if inside.any())

    def cases(self, ids: Sequence[str], *, num_cases: int, num_shown: int, seed: int) -> tuple[Case, ...]:
        """Items of the first part, drawn with a seed.

        Args:
            ids: External id of each of the I rows.
            num_cases: Items at most.
            num_shown: Neighbours of each.
            seed: Of the draw.
        """
        least, most = PARTS[0]
        degrees = self._data.item_degrees[self.items]
        cold = np.flatnonzero((degrees >= least) & (degrees <= (most or degrees.max())))
        count = min(num_cases, len(cold))
        drawn = np.sort(np.random.default_rng(seed).choice(cold, count, replace=False))
        had = dict(self._had(self._data.train_users, self._data.train_items))
        return tuple(self._case(int(place), ids, num_shown, had) for place in drawn)

    def _part(self, bounds: tuple[int, int | None], inside: BoolArray) -> Part:
        chance = self._taken_before[_CHANCE][inside]
        return Part(
            least=bounds[0],
            most=bounds[1],
            num_items=int(inside.sum()),
            num_taken=int(np.isfinite(chance).sum()),
            together_by_chance=float(self._together[_CHANCE][inside].mean()),
            taken_before_by_chance=_mean(chance),
            sides=tuple(self._side(kind, inside) for kind in self.near),
        )

    def _side(self, kind: str, inside: BoolArray) -> Side:
        ours, texts = self.near[kind][inside], self.near[self._text][inside]
        shared = (ours[:, :, None] == texts[:, None, :]).any(axis=2)  # (m, k)
        return Side(
            kind=kind,
            overlap=float(shared.mean()),
            together=float(self._together[kind][inside].mean()),
            taken_before=_mean(self._taken_before[kind][inside]),
            degree=float(self._data.item_degrees[ours].mean()),
        )

    def _case(self, place: int, ids: Sequence[str], num_shown: int, had: Mapping[int, BoolArray]) -> Case:
        row = int(self.items[place])
        near = {kind: rows[place, :num_shown] for kind, rows in self.near.items()}
        everything = np.unique(np.concatenate(list(near.values())))
        return Case(
            item=ids[row],
            degree=int(self._data.item_degrees[row]),
            near={kind: _named(ids, rows) for kind, rows in near.items()},
            together=_named(ids, everything[had[row][everything]]),
        )

    def _shares(self, users: IntArray, items: IntArray) -> Shares:
        """Of the neighbours by every kind, and of any other item, by what (n,) users of (n,) items had."""
        found = {kind: np.full(len(self.items), np.nan) for kind in (*self.near, _CHANCE)}
        places = {row: place for place, row in enumerate(self.items.tolist())}
        for item, had in self._had(users, items):
            if (place := places.get(item)) is not None:
                for kind, near in self.near.items():
                    found[kind][place] = had[near[place]].mean()
                found[_CHANCE][place] = (had[self.items].sum() - had[item]) / (len(self.items) - 1)
        return found

    def _had(self, users: IntArray, items: IntArray) -> Iterator[tuple[int, BoolArray]]:
        """(item, (I,) bool of what those who took it had in training) of all items that somebody took."""
        order = np.argsort(items, kind="stable")
        taken, starts = np.unique(items[order], return_index=True)
        for item, group in zip(taken.tolist(), np.split(users[order], starts[1:]), strict=True):
            had = np.zeros(self._data.num_items, np.bool_)
            had[self._data.seen.pairs_of(group)[1]] = True
            yield item, had


def _named(ids: Sequence[str], rows: IntArray) -> tuple[str, ...]:
    return tuple(ids[int(row)] for row in rows)


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if len(kept) else None
