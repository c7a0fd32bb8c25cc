"""BERT4Rec: events are hidden, and told from what came before and after them.

Sun et al., "BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from Transformer",
CIKM 2019. Letters: E (I, d) item vectors, s_t the item of event t, p_a the vector of age a (0: the newest
event), m that of a hidden item; blocks: `recommender.sequence.bidirectional_attention`.

    x_t = dropout((m if t is hidden, else E[s_t]) √d + p_age(t))       then L blocks
    h_t = gelu(W LayerNorm(x_t) + b)
    loss = mean over hidden events of -log softmax_i <h_t, E_i> at i = s_t       eq. 7-8, the cloze task
    score(history, i) = <h, E_i>,  h of a hidden event appended to the history

In training each event is hidden with chance q, but of a share of all histories only the last one, which is
what a score asks for. The share is ours (the paper's code: one copy of each history in eleven); where no
event was hidden, the last one is. Ours too: the bias of items is left out, ages stand for places, vectors of
events are multiplied by √d before those of ages are added (the paper adds them as they are), and norms come
first in blocks (`recommender.sequence.bidirectional_attention`), so that one more LayerNorm stands after the
last block and before W (the paper's norms come last in blocks, and W reads the last block as it is). How much
hangs on the number of epochs is told by Petrov and Macdonald, RecSys 2022: a step learns from q of the events
alone.
"""

import numpy as np
import torch
from pydantic import Field, model_validator
from torch.nn.functional import gelu, normalize

from recommender.data import FloatArray
from recommender.sequence.bidirectional_attention import BidirectionalBlock
from recommender.sequence.catalogue_network import catalogue_model
from recommender.sequence.causal_attention import drop
from recommender.sequence.item_tables import ItemTables, fused_tables, next_item_loss
from recommender.sequence.network import SessionConfig
from recommender.sequence.sequences import SequenceBatch, Sequences
from recommender.training.first_weights import uniform


class Config(SessionConfig):
    """Settings of BERT4Rec."""

    epochs: int = Field(default=120, ge=1, description="Passes over the training histories at most.")
    eval_every: int = Field(default=5, ge=1, description="Epochs between two validations.")
    num_layers: int = Field(default=2, ge=1, description="Blocks L.")
    num_heads: int = Field(default=2, ge=1, description="Attention heads of a block.")
    feedforward_dim: int = Field(default=256, ge=1, description="Width of a block's feed-forward net.")
    hidden_share: float = Field(default=0.4, gt=0, lt=1, description="Chance q of an event to be hidden.")
    last_share: float = Field(
        default=0.2, ge=0, le=1, description="Share of histories of which only the last event is hidden."
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
        dim = config.embedding_dim
        self.max_length = config.max_length
        self._config = config
        self.hidden = torch.nn.Parameter(torch.randn(dim, generator=generator) * config.init_std)  # m
        ages = torch.randn(config.max_length + 1, dim, generator=generator) * config.init_std
        self.ages = torch.nn.Parameter(ages)  # p
        self.norm = torch.nn.LayerNorm(dim)
        self.blocks = torch.nn.ModuleList(
            BidirectionalBlock(
                dim,
                num_heads=config.num_heads,
                feedforward_dim=config.feedforward_dim,
                dropout_rate=config.dropout,
                generator=generator,
            )
            for _ in range(config.num_layers)
        )
        self.turned = uniform(torch.nn.Linear(dim, dim, device="meta"), dim**-0.5, generator)  # W and b

    def forward(self, items: torch.Tensor, sequences: Sequences) -> torch.Tensor:
        """(T, d): at the newest event of each history, h of a hidden one after it; zero at the others.

        Args:
            items: (I, d) item vectors.
            sequences: Histories of at most ``max_length`` events.
        """
        asked = with_last(sequences, np.zeros(len(sequences.lengths), np.int64))
        last = torch.zeros(len(asked.items), dtype=torch.bool, device=items.device)
        last[torch.from_numpy(asked.newest).to(items.device)] = True
        places = torch.from_numpy(sequences.newest).to(items.device)
        states = self.states(items, asked, last, None)
        return states.new_zeros(len(sequences.items), states.shape[1]).index_copy(0, places, states)

    def loss(self, items: torch.Tensor, batch: SequenceBatch, noise: torch.Generator) -> torch.Tensor:
        """See `recommender.sequence.catalogue_network.LearningEncoder`."""
        whole = with_last(batch.sequences, batch.targets[batch.sequences.newest])
        hidden = self.chosen(whole, items.device, noise)
        targets = torch.from_numpy(whole.items).to(items.device)[hidden]
        states = self.states(items, whole, hidden, noise)
        return next_item_loss(states, items, targets, self._config.temperature)

    def chosen(self, whole: Sequences, device: torch.device, noise: torch.Generator) -> torch.Tensor:
        """(T,) bool: events to hide, at least one of each history."""
        num_histories = len(whole.lengths)
        lines = torch.from_numpy(np.repeat(np.arange(num_histories), whole.lengths)).to(device)
        newest = torch.from_numpy(whole.newest).to(device)
        hidden = torch.rand(len(lines), generator=noise, device=device) < self._config.hidden_share
        only_last = torch.rand(num_histories, generator=noise, device=device) < self._config.last_share
        hidden &= ~only_last[lines]
        counts = lines.new_zeros(num_histories).index_add_(0, lines, hidden.long())
        hidden[newest[counts == 0]] = True
        return hidden

    def states(
        self, items: torch.Tensor, sequences: Sequences, hidden: torch.Tensor, noise: torch.Generator | None
    ) -> torch.Tensor:
        """(n, d) h of the n hidden events.

        Args:
            items: (I, d) item vectors.
            sequences: Histories of at most ``max_length`` + 1 events.
            hidden: (T,) bool.
            noise: Source of dropout; None for no dropout.
        """
        rows, ages = (torch.from_numpy(of).to(items.device) for of in (sequences.items, sequences.ages))
        events = torch.where(hidden.unsqueeze(1), self.hidden, items.index_select(0, rows))
        events = events * items.shape[1] ** 0.5 + self.ages.index_select(0, ages)
        events = drop(events, self._config.dropout, noise)
        for block in self.blocks:
            events = block(events, sequences.blocks, noise)
        states = gelu(self.turned(self.norm(events[hidden])))
        return states if self._config.temperature is None else normalize(states, dim=1)


def with_last(sequences: Sequences, last: np.ndarray) -> Sequences:
    """Histories with one more event each: (b,) int64 ``last``."""
    items = np.insert(sequences.items, sequences.newest + 1, last)
    return Sequences(items, sequences.lengths + 1)


def new_items(
    config: Config, num_items: int, vectors: FloatArray | None, generator: torch.Generator
) -> ItemTables:
    """E, one table for what is read and what is ranked."""
    tables = fused_tables(config, 1, num_items=num_items, vectors=vectors, generator=generator)
    return ItemTables(tables, num_ranked=1, temperature=config.temperature)


Model = catalogue_model("bert4rec", new_items, Encoder)
