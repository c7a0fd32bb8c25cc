"""What LLMGR's stages learn from: titles among candidates, and what came next in sessions.

Letters: I items, n examples.
"""

from dataclasses import dataclass

import numpy as np

from recommender.data import Histories, IntArray


@dataclass(frozen=True)
class TitleExamples:
    """Titles of items that have a node.

    Attributes:
        items: (n,) int64 rows of items, distinct.
        titles: The title of each.
        offered: (m,) int64 rows of items that have a node: candidates come from these.
        num_candidates: Of a title, itself among them; at most m.
        seed: Of the candidates.
    """

    items: IntArray
    titles: tuple[str, ...]
    offered: IntArray
    num_candidates: int
    seed: int

    def __len__(self) -> int:
        return len(self.items)

    def candidates(self, example: int) -> tuple[IntArray, int]:
        """(num_candidates,) int64 different rows in random order, and the place of the right one.

        A function of seed and example alone.
        """
        item = int(self.items[example])
        generator = np.random.default_rng([self.seed, item])
        others = self.offered[self.offered != item]
        drawn = generator.choice(others, self.num_candidates - 1, replace=False)
        place = int(generator.integers(self.num_candidates))
        return np.insert(drawn, place, item), place


@dataclass(frozen=True)
class SessionExamples:
    """Prefixes of sessions, each with the item that came next.

    Attributes:
        histories: Sessions.
        starts: (n,) int64: where the first click that is read stands in ``histories.items``.
        ends: (n,) int64: where the item that came next stands.
    """

    histories: Histories
    starts: IntArray
    ends: IntArray

    def __len__(self) -> int:
        return len(self.ends)

    def clicks(self, example: int) -> list[int]:
        """Rows of items, oldest first."""
        return self.histories.items[self.starts[example] : self.ends[example]].tolist()

    @property
    def targets(self) -> IntArray:
        """(n,) int64 rows of what came next."""
        return self.histories.items[self.ends]

    @property
    def prefixes(self) -> Histories:
        """The clicks of all examples, as histories of their own."""
        lengths = self.ends - self.starts
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.repeat(self.starts - indptr[:-1], lengths) + np.arange(indptr[-1])
        return Histories(indptr, self.histories.items[places])


def session_examples(
    histories: Histories, max_nodes: int, *, max_examples: int | None = None, seed: int = 0
) -> SessionExamples:
    """Every click that another came before.

    Args:
        histories: Training sessions.
        max_nodes: Newest clicks that are read.
        max_examples: Of all of them so many, drawn by the seed; None for all.
        seed: Of that draw.
    """
    firsts = np.repeat(histories.indptr[:-1], histories.lengths)  # (events,)
    ends = np.flatnonzero(np.arange(len(firsts)) > firsts)
    ends = some_of(ends, max_examples, seed)
    return SessionExamples(histories, np.maximum(firsts[ends], ends - max_nodes), ends)


def newest_examples(histories: Histories, max_nodes: int) -> tuple[SessionExamples, IntArray]:
    """Of each session its last click, after those before it.

    Returns:
        Examples, and (n,) int64: the session that each is of; sessions of fewer than two clicks have none.
    """
    rows = np.flatnonzero(histories.lengths > 1)
    ends = histories.indptr[rows + 1] - 1
    starts = np.maximum(histories.indptr[rows], ends - max_nodes)
    return SessionExamples(histories, starts, ends), rows


def some_of(rows: IntArray, most: int | None, seed: int) -> IntArray:
    """At most so many of (n,) int64 rows, ascending; None for all."""
    if most is None or len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng([seed, most]).choice(rows, most, replace=False))


def other_titles(titles: tuple[str, ...], seed: int) -> tuple[str, ...]:
    """Titles of other items: a random cycle through all of them."""
    cycle = np.random.default_rng([seed, 0x71]).permutation(len(titles))
    source = np.empty_like(cycle)
    source[cycle] = np.roll(cycle, 1)
    return tuple(titles[row] for row in source)
