"""FDSA: one stream of attention over the items of a history, another over their features.

Zhang et al., "Feature-level Deeper Self-Attention Network for Sequential Recommendation", IJCAI 2019.
Letters: E (I, d) item vectors, f_i the feature vector of item i.

    o = SASRec(E[s]),  o' = SASRec(f[s])        two streams, no weight in common: `recommender.models.sasrec`
    h_t = W [o_t ‖ o'_t] + b
    score(history, i) = <h_newest, E_i>
    loss = mean over all events that have a next one of -log softmax_i <h_t, E_i> at i = s_t+1

Features are the stored text vectors: f = E_V, the adapter of `recommender.text.layer_zero` on their PCA. The
paper embeds categories and brands, weighs them by attention first, and draws one negative per event; the
softmax, the order of norms and the temperature τ are those of `sasrec`, so that the two differ by the second
stream. Without texts there is no second stream, and the model is refused.
"""

import torch
from pydantic import Field, field_validator, model_validator
from torch.nn.functional import normalize

from featurestore.errors import UsageError
from recommender.data import FloatArray
from recommender.models import sasrec
from recommender.sequence.catalogue_network import catalogue_model
from recommender.sequence.item_tables import ItemTables, as_long_as, fused_tables, next_item_loss
from recommender.sequence.network import SessionConfig
from recommender.sequence.sequences import SequenceBatch, Sequences
from recommender.text.layer_zero import LinearAdapter
from recommender.training.embedding_config import Fusion
from recommender.training.first_weights import uniform


class Config(SessionConfig):
    """Settings of FDSA."""

    eval_every: int = Field(default=5, ge=1, description="Epochs between two validations.")
    init_std: float = Field(default=0.02, gt=0, description="Standard deviation s of new ID embeddings.")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="Chance of a value to be dropped.")
    temperature: float | None = Field(
        default=0.07, gt=0, description="τ of cosine scores; none for the paper's inner products."
    )
    num_layers: int = Field(default=2, ge=1, description="Blocks of each stream.")
    num_heads: int = Field(default=1, ge=1, description="Attention heads of a block.")
    feedforward_dim: int = Field(default=64, ge=1, description="Width of a block's feed-forward net.")
    fusion: Fusion = Field(default="none", description="Texts have a stream of their own, and join no ID.")

    @field_validator("fusion")
    @classmethod
    def _none(cls, fusion: Fusion) -> Fusion:
        if fusion != "none":
            raise ValueError("fdsa reads texts in a stream of their own; leave it out")
        return fusion

    @model_validator(mode="after")
    def _streams_can_be_made(self) -> "Config":
        _stream(self)
        return self


class Encoder(torch.nn.Module):
    """What reads histories. T events, d embedding_dim.

    Args:
        config: Settings.
        generator: Of the first weights.
    """

    def __init__(self, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        dim, stream = config.embedding_dim, _stream(config)
        self.max_length = config.max_length
        self._temperature = config.temperature
        self.of_items = sasrec.Encoder(stream, generator)
        self.of_features = sasrec.Encoder(stream, generator)
        both = torch.nn.Linear(2 * dim, dim, device="meta")
        self.both = uniform(both, (2 * dim) ** -0.5, generator)  # W and b

    def forward(self, items: torch.Tensor, sequences: Sequences) -> torch.Tensor:
        """(T, 2 d) states, each knowing its history up to its event; the second half is zero.

        Args:
            items: (I, 2 d): E, f.
            sequences: Histories of at most ``max_length`` events.
        """
        return as_long_as(items, self._states(items, sequences, None))

    def loss(self, items: torch.Tensor, batch: SequenceBatch, noise: torch.Generator) -> torch.Tensor:
        """See `recommender.sequence.catalogue_network.LearningEncoder`."""
        states = self._states(items, batch.sequences, noise)
        targets = torch.from_numpy(batch.targets).to(items.device)
        return next_item_loss(states, items, targets, self._temperature)

    def _states(
        self, items: torch.Tensor, sequences: Sequences, noise: torch.Generator | None
    ) -> torch.Tensor:
        """(T, d) h."""
        own, features = items.chunk(2, dim=1)
        streams = [self.of_items(own, sequences, noise), self.of_features(features, sequences, noise)]
        states = self.both(torch.cat(streams, dim=1))
        return states if self._temperature is None else normalize(states, dim=1)


class _Features(torch.nn.Module):
    """(I, d) f."""

    def __init__(self, config: Config, vectors: FloatArray, generator: torch.Generator) -> None:
        super().__init__()
        self.adapter = LinearAdapter(torch.from_numpy(vectors), config, generator)

    def forward(self) -> torch.Tensor:
        return self.adapter(self.adapter.vectors)


def new_items(
    config: Config, num_items: int, vectors: FloatArray | None, generator: torch.Generator
) -> ItemTables:
    """E, which is read and ranked, and f, which is read.

    Raises:
        UsageError: If there are no vectors.
    """
    if vectors is None:
        raise UsageError(
            "fdsa reads features of items beside items, and none were given.",
            hint="Pass --features FEATURE; without, it is sasrec.",
        )
    (own,) = fused_tables(config, 1, num_items=num_items, vectors=None, generator=generator)
    features = _Features(config, vectors, generator)
    return ItemTables([own, features], num_ranked=1, temperature=config.temperature)


def _stream(config: Config) -> sasrec.Config:
    """Settings of one stream, whose states are not yet of length 1."""
    return sasrec.Config(
        embedding_dim=config.embedding_dim,
        init_std=config.init_std,
        max_length=config.max_length,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        feedforward_dim=config.feedforward_dim,
        dropout=config.dropout,
        temperature=None,
    )


Model = catalogue_model("fdsa", new_items, Encoder)
