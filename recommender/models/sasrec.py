"""SASRec: causal self-attention over a user's history, with a full softmax at every event.

Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018. Letters: E (I, d) item vectors, s_t
the item of event t, p_a the vector of age a (0: the newest event); blocks:
`recommender.sequence.causal_attention`.

    x_t = dropout(√d E[s_t] + p_age(t))      eq. 1; then L blocks; h_t = LayerNorm(x_t)
    score(history, i) = <h_newest, E_i>      eq. 6: one item table for what is read and what is ranked
    loss = mean over all events t that have a next one of -log softmax_i <h_t, E_i> at i = s_t+1

The paper draws one negative per event (eq. 7). The softmax over the catalogue is ours, as "Turning Dross Into
Gold Loss" (Klenitskiy and Vasilev, RecSys 2023) advises; so is the temperature τ: with one, E_i and h are
normalised, a score is a cosine, and the softmax is that of cosines / τ. As in the paper, blocks are pre-norm;
as in its code, positions count from the newest event. Unlike there, attention weights are not dropped.

Defaults of dropout and τ were chosen on 4,000 users of Beauty's validation part, with one seed and a sampled
softmax in place of the full one: NDCG@10 .0737, against .0734 at dropout .3 and .0720 at τ .05. The step size
was tried at one value.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from pydantic import Field, model_validator
from torch.nn.functional import normalize

from recommender.data import TrainingData
from recommender.sequence.causal_attention import CausalBlock, drop
from recommender.sequence.model import SequenceModel, history_states
from recommender.sequence.sequences import SequenceBatch, Sequences, SequenceSampler
from recommender.text.layer_zero import LayerZero, NodeVectors
from recommender.training.embedding_config import EmbeddingConfig
from recommender.training.full_softmax import catalogue_cross_entropy


class Config(EmbeddingConfig):
    """Settings of SASRec."""

    batch_size: int = Field(
        default=2048, ge=1, description="Events with a next item per optimiser step, on average."
    )
    epochs: int = Field(default=40, ge=1, description="Passes over the training histories at most.")
    learning_rate: float = Field(default=0.003, gt=0, description="Step size of Adam.")
    init_std: float = Field(default=0.02, gt=0, description="Standard deviation s of new ID embeddings.")
    reg: float = Field(default=0.0, ge=0, description="Weight of the L2 penalty on a batch's item vectors.")
    max_length: int = Field(default=50, ge=1, description="Newest events of a history that are read.")
    num_layers: int = Field(default=2, ge=1, description="Blocks L.")
    num_heads: int = Field(default=1, ge=1, description="Attention heads of a block.")
    feedforward_dim: int = Field(default=64, ge=1, description="Width of a block's feed-forward net.")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="Chance of a value to be dropped.")
    temperature: float | None = Field(
        default=0.07, gt=0, description="τ of cosine scores; none for the paper's inner products."
    )

    @model_validator(mode="after")
    def _heads_share_the_dimensions(self) -> "Config":
        if self.embedding_dim % self.num_heads:
            raise ValueError(
                f"embedding_dim={self.embedding_dim} is no multiple of num_heads={self.num_heads}"
            )
        return self


class Encoder(torch.nn.Module):
    """What reads histories. T events of b histories, d embedding_dim.

    Args:
        config: Settings.
        generator: Of the first weights.
    """

    def __init__(self, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        self.max_length = config.max_length
        self._config = config
        ages = torch.randn(config.max_length, config.embedding_dim, generator=generator) * config.init_std
        self.ages = torch.nn.Parameter(ages)
        self.blocks = torch.nn.ModuleList(
            CausalBlock(
                config.embedding_dim,
                num_heads=config.num_heads,
                feedforward_dim=config.feedforward_dim,
                dropout_rate=config.dropout,
                generator=generator,
            )
            for _ in range(config.num_layers)
        )
        self.norm = torch.nn.LayerNorm(config.embedding_dim)

    def forward(
        self, items: torch.Tensor, sequences: Sequences, noise: torch.Generator | None = None
    ) -> torch.Tensor:
        """(T, d) states h, each knowing its history up to its event.

        Args:
            items: (I, d) item vectors.
            sequences: Histories of at most ``max_length`` events.
            noise: Source of dropout; None for no dropout.
        """
        rows = torch.from_numpy(sequences.items).to(items.device)
        ages = torch.from_numpy(sequences.ages).to(items.device)
        events = items.index_select(0, rows) * items.shape[1] ** 0.5 + self.ages.index_select(0, ages)
        events = drop(events, self._config.dropout, noise)
        for block in self.blocks:
            events = block(events, sequences.blocks, noise)
        states = self.norm(events)
        return states if self._config.temperature is None else normalize(states, dim=1)


class Network(torch.nn.Module):
    """The trainable part. U users, I items, T events of a batch, d embedding_dim.

    Args:
        config: Settings.
        data: Its training histories are learned from.
        vectors: Projected vectors of items; those of users are not read.
        seed: Of the first weights.
    """

    def __init__(self, config: Config, data: TrainingData, vectors: NodeVectors, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self._config = config
        self._histories = data.histories
        self._sampler = SequenceSampler(data.histories, config.batch_size, config.max_length)
        self.layer_zero = LayerZero(
            config, num_users=0, num_items=data.num_items, item_vectors=vectors[1], generator=generator
        )
        self.encoder = Encoder(config, generator)

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[SequenceBatch]:
        """See `Trainable.epoch`."""
        return self._sampler.epoch(generator)

    def loss(self, batch: SequenceBatch, noise: torch.Generator) -> torch.Tensor:
        """Softmax over all items at every event + reg · half the mean squared length of targets' vectors."""
        items = self.item_vectors()
        states = self.encoder(items, batch.sequences, noise)
        targets = torch.from_numpy(batch.targets).to(items.device)
        loss = catalogue_cross_entropy(states / (self._config.temperature or 1.0), items, targets)
        if self._config.reg:
            wanted = self.layer_zero().index_select(0, targets)
            loss = loss + self._config.reg * wanted.square().sum() / (2 * len(targets))
        return loss

    def item_vectors(self) -> torch.Tensor:
        """(I, d) E, with gradients."""
        items = self.layer_zero()
        return items if self._config.temperature is None else normalize(items, dim=1)

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) states of all training histories, zero where there is none, and (I, d) item vectors."""
        items = self.item_vectors()
        rows = np.arange(len(self._histories))
        return history_states(self.encoder, items, self._histories, rows), items.clone()


def new_encoder(config: Config) -> Encoder:
    """An encoder whose weights are about to be loaded."""
    return Encoder(config, torch.Generator())


Model = partial(SequenceModel, "sasrec", Network, new_encoder)
