"""Full ranking of held-out items, in chunks of users: scores of all users at once are never in memory."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch

from featurestore.errors import InputError
from featurestore.ids import RowArray
from featurestore.progress import Progress, no_progress
from recommender.data import FloatArray, HeldOut, IntArray
from recommender.metrics import CUTOFFS, RankGroups, RankingMetrics, ranking_metrics

Scorer: TypeAlias = Callable[[RowArray], FloatArray]
"""(n,) user rows → (n, num_items) float32 scores, in memory of its own."""

_CHUNK_SCORES = 4_000_000  # 16 MB: a chunk stays in the processor's cache


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
    users, first, counts = np.unique(held_out.users, return_index=True, return_counts=True)
    bounds = np.append(first, len(held_out))
    better = np.empty(len(held_out), np.int64)
    tied = np.empty(len(held_out), np.int64)
    size = chunk_size(held_out.num_items)
    for start in range(0, len(users), size):
        stop = min(start + size, len(users))
        pairs = slice(bounds[start], bounds[stop])
        scores = masked_scores(score, users[start:stop], held_out)
        lines = np.repeat(np.arange(stop - start), counts[start:stop])
        better[pairs], tied[pairs] = _count_above(scores, lines, held_out.items[pairs], counts[start:stop])
        progress(stop, len(users), "users ranked")
    return RankGroups(held_out.users, better, tied)


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


def _count_above(
    scores: torch.Tensor, lines: IntArray, items: IntArray, counts: IntArray
) -> tuple[IntArray, IntArray]:
    """Items scored higher than, and level with, each (line, item); lines ascend, ``counts`` are per line."""
    better = np.empty(len(lines), np.int64)
    tied = np.empty(len(lines), np.int64)
    nth = np.arange(len(lines)) - np.repeat(np.cumsum(counts) - counts, counts)  # place within its user
    for n in range(int(counts.max(initial=0))):
        chosen = np.flatnonzero(nth == n)
        rows = torch.from_numpy(lines[chosen])
        # With one held-out item each, no line needs to be copied.
        part = scores if len(chosen) == len(scores) else scores.index_select(0, rows)
        own = scores[rows, torch.from_numpy(items[chosen])].unsqueeze(1)  # (c, 1)
        better[chosen] = (part > own).sum(dim=1).numpy()
        tied[chosen] = (part == own).sum(dim=1).numpy()
    return better, tied
