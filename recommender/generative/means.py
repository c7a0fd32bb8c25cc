"""What lists are worth: HR and NDCG at 5 and 10, means over users; exact up to the beam's width."""

from typing import Final

import numpy as np

from featurestore.errors import InputError
from recommender.data import HeldOut, Histories, IntArray
from recommender.generative.model import GenerativeModel, SeenItems
from recommender.generative.ranks import list_ranks
from recommender.metrics import ranking_metrics
from recommender.sampled import Negatives

CUTOFFS: Final = (5, 10)


def list_means(
    model: GenerativeModel, histories: Histories, held_out: HeldOut, seen_items: SeenItems = "drop"
) -> dict[str, float]:
    """Of the sequential task, over all users with held-out items.

    Args:
        model: Asked for lists of ten.
        histories: What lists are asked after.
        held_out: What should be on top.
        seen_items: See `GenerativeModel.lists`.
    """
    users = np.unique(held_out.users)
    lists, _ = model.lists(users, histories, held_out.seen, max(CUTOFFS), seen_items=seen_items)
    return _means(lists, users, held_out)


def choice_means(model: GenerativeModel, held_out: HeldOut, negatives: Negatives) -> dict[str, float]:
    """Of the direct task: each user chooses from its held-out item and its negatives.

    Candidates stand in a random order that is the same for every model.

    Args:
        model: Asked for the best ten of them.
        held_out: One item a user.
        negatives: Of these users, one fewer than the candidates that the model learned to choose from.

    Raises:
        InputError: If a user has several held-out items.
        UsageError: If the model did not learn to choose, or from fewer candidates.
    """
    order = np.argsort(held_out.users, kind="stable")
    users, items = held_out.users[order], held_out.items[order]
    if not np.array_equal(users, negatives.users):
        raise InputError(
            f"{len(negatives.users)} users have negatives, and {len(users)} items are held out; the direct "
            "task is measured where each user has one.",
            hint="Split with leave_one_out.",
        )
    candidates = np.concatenate([items[:, None], negatives.items], axis=1)  # (n, c)
    candidates = np.random.default_rng([negatives.seed, 0xCA]).permuted(candidates, axis=1)
    lists, _ = model.choices(users, candidates, max(CUTOFFS))
    return _means(lists, users, held_out)


def _means(lists: IntArray, users: IntArray, held_out: HeldOut) -> dict[str, float]:
    means = ranking_metrics(list_ranks(lists, users, held_out), CUTOFFS).means()
    return {name: value for name, value in means.items() if name.startswith(("hr@", "ndcg@"))}
