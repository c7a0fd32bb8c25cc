"""Ranking among sampled negatives: another world than the full ranking, and never reported without it.

Every user is given one list of items to rank the held-out ones among. A list depends on the seed, the user's
row, the number of items and the items that are the user's own: not on the model, other users, or chunks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from featurestore.errors import InputError
from featurestore.ids import ExternalId, digest_bytes
from recommender.data import HeldOut, IntArray

NUM_NEGATIVES = 99
_CHUNK_DRAWS = 2_000_000


@dataclass(frozen=True, slots=True)
class Negatives:
    """Drawn lists.

    Attributes:
        users: (n,) int64 user rows that have held-out items, ascending.
        items: (n, num_negatives) int64, different within a user, none of them the user's own.
        seed: They were drawn with.
        digest: Of users and items.
    """

    users: IntArray
    items: IntArray
    seed: int
    digest: str


def draw_negatives(
    held_out: HeldOut,
    num_negatives: int = NUM_NEGATIVES,
    *,
    seed: int = 0,
    user_ids: Sequence[ExternalId] = (),
) -> Negatives:
    """Draw uniformly, without repeats, items that a user has in no part: neither seen nor held out.

    Args:
        held_out: Whose users get a list. ``seen`` and the held-out items are the user's own.
        num_negatives: Items in each list.
        seed: Of all draws.
        user_ids: External id of each user row, by which an error names a user; rows are named without.

    Raises:
        InputError: If a user has fewer items to draw from.
    """
    users = np.unique(held_out.users)
    _require_enough(held_out, users, num_negatives, user_ids)
    own = _own_keys(held_out)
    items = np.empty((len(users), num_negatives), np.int64)
    missing, num_draws = np.arange(len(users)), num_negatives + 32
    while len(missing):
        left: list[IntArray] = []
        at_once = max(1, _CHUNK_DRAWS // num_draws)
        for start in range(0, len(missing), at_once):
            lines = missing[start : start + at_once]
            drawn = _candidates(users[lines], num_draws, held_out.num_items, seed)
            usable = _usable(drawn, users[lines], own, held_out.num_items)
            place = usable.cumsum(axis=1)
            enough = place[:, -1] >= num_negatives
            chosen = usable & (place <= num_negatives) & enough[:, None]
            items[lines[enough]] = drawn[chosen].reshape(-1, num_negatives)
            left.append(lines[~enough])
        missing, num_draws = np.concatenate(left), 2 * num_draws
    stated = digest_bytes(users.astype("<i8").tobytes() + items.astype("<i8").tobytes())
    return Negatives(users, items, seed, stated)


def rank_among(
    scores: torch.Tensor, lines: IntArray, items: IntArray, counts: IntArray, negatives: IntArray
) -> tuple[IntArray, IntArray]:
    """Items scored higher than, and level with, each held-out one among its user's candidates.

    The candidates are the user's held-out items and negatives.

    Args:
        scores: (n, num_items).
        lines: (m,) the row of ``scores`` that each held-out item belongs to, ascending.
        items: (m,) held-out items.
        counts: (n,) held-out items of each row, at least one.
        negatives: (n, q) item rows.

    Returns:
        ``better`` and ``tied``, (m,) int64 each, as in `recommender.metrics.RankGroups`.
    """
    own = scores[torch.from_numpy(lines), torch.from_numpy(items)]  # (m,)
    nth = np.arange(len(lines)) - np.repeat(np.cumsum(counts) - counts, counts)
    rivals = torch.full((len(counts), int(counts.max(initial=0))), -torch.inf)
    rivals[torch.from_numpy(lines), torch.from_numpy(nth)] = own
    candidates = torch.cat([scores.gather(1, torch.from_numpy(negatives)), rivals], dim=1)  # (n, q + c)
    better = np.empty(len(lines), np.int64)
    tied = np.empty(len(lines), np.int64)
    for place in range(rivals.shape[1]):
        chosen = np.flatnonzero(nth == place)
        part = candidates.index_select(0, torch.from_numpy(lines[chosen]))
        level = own[torch.from_numpy(chosen)].unsqueeze(1)  # (c, 1)
        better[chosen] = (part > level).sum(dim=1).numpy()
        tied[chosen] = (part == level).sum(dim=1).numpy()
    return better, tied


def _require_enough(
    held_out: HeldOut, users: IntArray, num_negatives: int, user_ids: Sequence[ExternalId]
) -> None:
    held = np.bincount(held_out.users, minlength=len(held_out.seen.degrees))[users]
    free = held_out.num_items - held_out.seen.degrees[users] - held
    if len(users) and free.min() < num_negatives:
        row = int(users[free.argmin()])
        user = repr(user_ids[row]) if user_ids else f"row {row}"
        raise InputError(
            f"user {user} has only {int(free.min())} items to draw negatives from; "
            f"{num_negatives} are wanted.",
            hint="Ask for fewer with --negatives, or look at the full ranking alone.",
        )


def _own_keys(held_out: HeldOut) -> IntArray:
    """(p,) int64, ascending: user · num_items + item of every item of a user."""
    owners = np.repeat(np.arange(len(held_out.seen.degrees)), held_out.seen.degrees)
    seen = owners * held_out.num_items + held_out.seen.items
    return np.unique(np.concatenate([seen, held_out.users * held_out.num_items + held_out.items]))


def _candidates(users: IntArray, num_draws: int, num_items: int, seed: int) -> IntArray:
    """(n, num_draws) int64 uniform items: draw number j of a user is a hash of seed, user and j."""
    key = np.uint64(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    streams = _mixed(users.astype(np.uint64) ^ key)[:, None]
    words = _mixed(streams + np.arange(1, num_draws + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    # The upper half of a word, scaled: no item is likelier than another by more than num_items in 2^32.
    return ((words >> np.uint64(32)) * np.uint64(num_items) >> np.uint64(32)).astype(np.int64)


def _mixed(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _usable(drawn: IntArray, users: IntArray, own: IntArray, num_items: int) -> npt.NDArray[np.bool_]:
    """(n, num_draws) bool: not the user's own, and the first of its kind in the user's draws."""
    order = np.argsort(drawn, axis=1, kind="stable")
    ordered = np.take_along_axis(drawn, order, axis=1)
    repeats = np.zeros(drawn.shape, np.bool_)
    np.put_along_axis(repeats, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    keys = users[:, None] * num_items + drawn
    places = np.minimum(np.searchsorted(own, keys), max(len(own) - 1, 0))
    return ~repeats & (own[places] != keys)
