"""How pairs of a batch become a loss, for every model that trains on inner products of users and items."""

from typing import Literal

import torch
from pydantic import Field

from recommender.data import TrainingData
from recommender.training.embedding_config import EmbeddingConfig
from recommender.training.losses import bce_loss, bpr_loss, sampled_softmax_loss
from recommender.training.sampling import Negatives, PairSampler


class RankingConfig(EmbeddingConfig):
    """Settings of models that rank a pair's item above negatives."""

    objective: Literal["bpr", "bce", "sampled_softmax"] = Field(
        default="bpr", description="Loss of a pair and its negatives."
    )
    negatives: Negatives = Field(
        default="uniform",
        description="Where they come from: uniform, popularity, or in_batch (other positives of the batch).",
    )
    num_negatives: int = Field(
        default=1, ge=1, description="Negatives per pair. With bpr only the highest scored one counts."
    )
    popularity_power: float = Field(
        default=0.75,
        ge=0,
        description="With popularity, an item is drawn in proportion to its degree to this power.",
    )


def pair_sampler(config: RankingConfig, data: TrainingData) -> PairSampler:
    """The sampler that the settings ask for."""
    return PairSampler(
        data,
        config.batch_size,
        negatives=config.negatives,
        num_negatives=config.num_negatives,
        popularity_power=config.popularity_power,
    )


def ranking_loss(config: RankingConfig, nodes: torch.Tensor, batch_size: int) -> torch.Tensor:
    """The loss of a batch's final vectors.

    Args:
        config: Names the objective.
        nodes: (b · (2 + M), d) final vectors: users, positives, then the negatives of each pair in turn.
        batch_size: b.

    Returns:
        A scalar. With ``bpr`` and M > 1 the highest scored negative counts: dynamic hard negatives.
    """
    users, positives, negatives = nodes.split([batch_size, batch_size, len(nodes) - 2 * batch_size])
    positive = (users * positives).sum(dim=1)  # (b,)
    negatives = negatives.view(batch_size, -1, nodes.shape[1])  # (b, M, d)
    negative = (users.unsqueeze(1) * negatives).sum(dim=2)  # (b, M)
    match config.objective:
        case "bpr":
            return bpr_loss(positive, negative.amax(dim=1))
        case "bce":
            return bce_loss(positive, negative)
        case "sampled_softmax":
            return sampled_softmax_loss(positive, negative)
