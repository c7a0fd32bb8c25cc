"""Negatives by popularity to any power: below zero, rare items come more often than popular ones.

RecMind (arXiv 2509.06286) says that its negatives know popularity, and one account of it gives a power of
-0.75 where 0.75 is usual. An item without events counts as if it had one: a power below zero of no events
is infinite.
"""

from collections.abc import Iterator

import numpy as np

from recommender.data import TrainingData
from recommender.training.ranking_loss import RankingConfig, pair_sampler
from recommender.training.sampling import PairBatch, PairSampler, sample_negatives, weighted_items


def training_pairs(config: RankingConfig, data: TrainingData) -> "PairSampler | RareNegatives":
    """The sampler that the settings ask for."""
    if config.negatives == "popularity" and config.popularity_power < 0:
        return RareNegatives(config, data)
    return pair_sampler(config, data)


class RareNegatives:
    """Batches of training pairs as `PairSampler` makes them, with negatives ∝ degree^power, power < 0.

    Args:
        config: Gives the power, b and M.
        data: Training pairs.
    """

    def __init__(self, config: RankingConfig, data: TrainingData) -> None:
        self._pairs = pair_sampler(config.model_copy(update={"negatives": "uniform"}), data)
        self._positive_keys = data.train_users * data.num_items + data.train_items  # ascending
        self._num_items = data.num_items
        self._draw = weighted_items(
            np.maximum(data.item_degrees, 1).astype(np.float64) ** config.popularity_power
        )

    @property
    def num_batches(self) -> int:
        """Batches in an epoch."""
        return self._pairs.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """One epoch of batches."""
        for batch in self._pairs.epoch(generator):
            asked = np.repeat(batch.users, batch.negatives.shape[1])
            drawn = sample_negatives(asked, self._positive_keys, self._num_items, self._draw, generator)
            yield PairBatch(batch.users, batch.positives, drawn.reshape(batch.negatives.shape))
