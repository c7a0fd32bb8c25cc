"""Ranking of held-out items, in chunks of users: scores of all users at once are never in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch

from featurestore.errors import InputError
from featurestore.ids import RowArray
from featurestore.progress import Progress, no_progress
from recommender.data import FloatArray, HeldOut, IntArray
from recommender.metrics import CUTOFFS, RankGroups, RankingMetrics, ranking_metrics
from recommender.sampled import Negatives, rank_among

Scorer: TypeAlias = Callable[[RowArray], FloatArray]
"""(n,) user rows → (n, num_items) float32 scores, in memory of its own."""

_CHUNK_SCORES = 4_000_000  # 16 MB: a chunk stays in the processor's cache


@dataclass(frozen=True, slots=True)
class Ranking:
    """What one pass over the scores of all users with held-out items gives.

    Attributes:
        groups: Where held-out items stand among all items.
        lists: (n, top_k) int64 best items of each user, -1 where a user has no more.
        sampled: Where they stand among sampled negatives; None without.
    """

    groups: RankGroups
    lists: IntArray
    sampled: RankGroups | None


def evaluate_ranking(
    score: Scorer,
    held_out: HeldOut,
    *,
    cutoffs: Sequence[int] = CUTOFFS,
    progress: Progress = no_progress,
) -> RankingMetrics:
    """Rank every item but the seen ones for every user that has held-out items.

    Cost: one pass of scores for every user and item, 16 MB at a time, on all of torch's threads.

    Raises:
        InputError: If a score is NaN or infinite.
    """
    return ranking_metrics(rank_held_out(score, held_out, progress=progress), cutoffs)


def rank_held_out(score: Scorer, held_out: HeldOut, *, progress: Progress = no_progress) -> RankGroups:
    """How many ranked items stand above, and level with, each held-out item.

    Raises:
        InputError: If a score is NaN or infinite.
    """
    return rank_in_one_pass(score, held_out, progress=progress).groups


def rank_in_one_pass(
    score: Scorer,
    held_out: HeldOut,
    *,
    top_k: int = 0,
    negatives: Negatives | None = None,
    progress: Progress = no_progress,
) -> Ranking:
    """Everything that is measured of a model, from one look at its scores.

    Args:
        score: The model's.
        held_out: What to rank, and what not to.
        top_k: Items to list of each user; none are if 0.
        negatives: Lists of every user that has held-out items, to rank these among as well.
        progress: Told about users.

    Raises:
        InputError: If a score is NaN or infinite.
    """
    users, first, counts = np.unique(held_out.users, return_index=True, return_counts=True)
    bounds = np.append(first, len(held_out))
    better, tied, fewer, level = (np.empty(len(held_out), np.int64) for _ in range(4))
    lists = np.full((len(users), top_k), -1, np.int64)
    size = chunk_size(held_out.num_items)
    marks = _marks(min(size, len(users)), held_out.num_items)
    for start in range(0, len(users), size):
        stop = min(start + size, len(users))
        pairs = slice(bounds[start], bounds[stop])
        scores = masked_scores(score, users[start:stop], held_out)
        lines = np.repeat(np.arange(stop - start), counts[start:stop])
        asked = scores, lines, held_out.items[pairs], counts[start:stop]
        better[pairs], tied[pairs] = _count_above(*asked, marks)
        if negatives is not None:
            fewer[pairs], level[pairs] = rank_among(*asked, negatives.items[start:stop])
        if top_k:
            found = top_lists(scores, top_k)
            lists[start:stop, : found.shape[1]] = found
        progress(stop, len(users), "users ranked")
    sampled = RankGroups(held_out.users, fewer, level) if negatives is not None else None
    return Ranking(RankGroups(held_out.users, better, tied), lists, sampled)


def chunk_size(num_items: int) -> int:
    """Users to score at a time."""
    return max(1, _CHUNK_SCORES // max(num_items, 1))


def masked_scores(score: Scorer, users: RowArray, held_out: HeldOut) -> torch.Tensor:
    """(n, num_items) scores with every seen item at -inf.

    Raises:
        InputError: If a score is NaN or infinite.
    """
    scores = torch.from_numpy(score(users))
    if not bool(torch.isfinite(scores.sum())):
        raise InputError(
            "the model gives scores that are not finite numbers.",
            hint="Train it again with a smaller learning_rate, and look at the feature's vectors.",
        )
    lines, items = held_out.seen.pairs_of(users)
    scores[torch.from_numpy(lines), torch.from_numpy(items)] = -torch.inf
    return scores


def top_lists(scores: torch.Tensor, top_k: int) -> IntArray:
    """The best items of each row, best first; equal scores by ascending item row, as lists are served.

    Args:
        scores: (n, num_items), masked items at -inf.
        top_k: k ≥ 1.

    Returns:
        (n, min(k, num_items)) int64; -1 where a row has no more items that are not masked.
    """
    k = min(top_k, scores.shape[1])
    values, items = torch.topk(scores, k, dim=1)
    bound = values[:, -1:]
    num_inside = (values == bound).sum(dim=1)
    open_rows = torch.nonzero((scores == bound).sum(dim=1) > num_inside)[:, 0]
    if len(open_rows):
        rows, limit = scores[open_rows], bound[open_rows]
        level = rows == limit
        kept = level & (level.cumsum(dim=1) <= num_inside[open_rows].unsqueeze(1))
        items[open_rows] = torch.nonzero((rows > limit) | kept)[:, 1].view(-1, k)
    items = items.sort(dim=1).values
    values, order = scores.gather(1, items).sort(dim=1, descending=True, stable=True)
    return torch.where(values > -torch.inf, items.gather(1, order), -1).numpy()


def _marks(num_rows: int, num_items: int) -> torch.Tensor:
    """(num_rows, num_items) memory for `_count_above`, of a type that counts that many items exactly."""
    return torch.empty(num_rows, num_items, dtype=torch.float32 if num_items < 2**24 else torch.float64)


def _count_above(
    scores: torch.Tensor, lines: IntArray, items: IntArray, counts: IntArray, marks: torch.Tensor
) -> tuple[IntArray, IntArray]:
    """Items scored higher than, and level with, each (line, item); lines ascend, ``counts`` are per line.

    Comparisons are written into ``marks`` as ones and zeros: summing floats takes less than half of the time
    that summing truth values does.
    """
    better = np.empty(len(lines), np.int64)
    tied = np.empty(len(lines), np.int64)
    nth = np.arange(len(lines)) - np.repeat(np.cumsum(counts) - counts, counts)  # place within its user
    for n in range(int(counts.max(initial=0))):
        chosen = np.flatnonzero(nth == n)
        rows = torch.from_numpy(lines[chosen])
        # With one held-out item each, no line needs to be copied.
        part = scores if len(chosen) == len(scores) else scores.index_select(0, rows)
        own = scores[rows, torch.from_numpy(items[chosen])].unsqueeze(1)  # (c, 1)
        place = marks[: len(chosen)]
        better[chosen] = torch.gt(part, own, out=place).sum(dim=1).numpy()
        tied[chosen] = torch.eq(part, own, out=place).sum(dim=1).numpy()
    return better, tied
