"""Next-item examples of sessions: every prefix asks for the item that followed it."""

import numpy as np

from recommender.data import HeldOut, Histories, UserItems


def next_item_examples(histories: Histories, num_items: int) -> tuple[Histories, HeldOut]:
    """All prefixes of sessions with the item after each (prefix expansion, SR-GNN section 4.1).

    A session v1 … vn gives n - 1 examples: v1 → v2, then v1 v2 → v3, and so on; shorter ones give none. A
    session may come back to an item, so nothing is masked.

    Args:
        histories: One session per row, oldest item first.
        num_items: Items that are ranked.

    Returns:
        The prefixes, by session and length, and row r's one held-out item: what followed prefix r.
    """
    num_examples = np.maximum(histories.lengths - 1, 0)  # of each session
    sessions = example_sessions(histories)  # (m,)
    nth = np.arange(len(sessions)) - np.repeat(np.cumsum(num_examples) - num_examples, num_examples)
    lengths = nth + 1
    starts = histories.indptr[sessions]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    places = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], lengths)
    unmasked = UserItems(np.zeros(len(sessions) + 1, np.int64), np.zeros(0, np.int64))
    held_out = HeldOut(
        np.arange(len(sessions)), histories.items[starts + lengths], unmasked, num_items=num_items
    )
    return Histories(indptr, histories.items[places]), held_out


def example_sessions(histories: Histories) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """(m,) int64: the session that each example of `next_item_examples` is a prefix of."""
    return np.repeat(np.arange(len(histories)), np.maximum(histories.lengths - 1, 0))
