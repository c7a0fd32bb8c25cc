"""HCGR: session graphs in hyperbolic space, and a contrast of geodesic distances. Our reconstruction.

Guo et al., "HCGR: Hyperbolic Contrastive Graph Representation Learning for Session-based Recommendation",
2021 (arXiv 2107.05366). There is no code, and what we know of the paper says: items in Lorentz space,
messages of a session graph by an attention there, a contrast of positive and negative items by geodesic
distance. The formulas are ours. Letters: E (I, d) item vectors, x_i = exp(E_i) items as points
(`recommender.session.lorentz`).

    x ← LorentzGraph(dropout(x[nodes])),  s = LorentzReadout(x)        `recommender.session.lorentz_attention`
    score(session, i) = <s, x_i>_L,  which ranks as -d(s, x_i) does
    loss = -log softmax_i(score / τ) + λ · mean over M others j of max(0, m + d(s, x_i) - d(s, x_j))

both terms as means over all events that have a next one. Dropout is of the vectors log x at the origin. Every
prefix of a session is a graph of its own (`recommender.session.prefixes`). Texts join E before it becomes
points.
"""

import torch
from pydantic import Field
from torch.nn.functional import relu

from recommender.data import FloatArray
from recommender.sequence.catalogue_network import catalogue_model
from recommender.sequence.causal_attention import drop
from recommender.sequence.item_tables import fused_tables
from recommender.sequence.network import SessionConfig
from recommender.sequence.sequences import SequenceBatch, Sequences
from recommender.session.graphs import session_graphs
from recommender.session.lorentz import distances, exp_origin, log_origin, mirrored
from recommender.session.lorentz_attention import LorentzGraph, LorentzReadout
from recommender.session.prefixes import PrefixEncoder
from recommender.training.full_softmax import catalogue_cross_entropy
from recommender.training.other_items import other_items


class Config(SessionConfig):
    """Settings of HCGR."""

    reg: float = Field(default=0.0, ge=0, description="Weight of the L2 penalty on a batch's item vectors.")
    temperature: float | None = Field(
        default=None, gt=0, description="τ that products of points are divided by; none for 1."
    )
    num_layers: int = Field(default=1, ge=1, description="Steps of the graph's attention.")
    contrast_weight: float = Field(default=0.1, ge=0, description="Weight λ of the contrast.")
    margin: float = Field(default=0.5, gt=0, description="Margin m of distances.")
    num_negatives: int = Field(default=8, ge=1, description="Other items M of the contrast, per event.")


class Reader(torch.nn.Module):
    """One point of each session, mirrored. b sessions, d embedding_dim.

    Args:
        config: Settings.
        generator: Of the first weights.
    """

    def __init__(self, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        self._dropout = config.dropout
        self.graph = LorentzGraph(config.embedding_dim, config.num_layers, generator)
        self.readout = LorentzReadout(config.embedding_dim, generator)

    def forward(
        self, items: torch.Tensor, sessions: Sequences, noise: torch.Generator | None
    ) -> torch.Tensor:
        """(b, d + 1) states, from (I, d + 1) points; see `recommender.session.prefixes.Reader`."""
        graphs = session_graphs(sessions, items.device)
        nodes = items.index_select(0, torch.from_numpy(graphs.nodes).to(items.device))
        nodes = exp_origin(drop(log_origin(nodes), self._dropout, noise))
        nodes = self.graph(nodes, graphs)  # (N, d + 1)
        events = nodes.index_select(0, torch.from_numpy(graphs.places).to(items.device))
        return mirrored(self.readout(events, sessions))


class Encoder(torch.nn.Module):
    """What reads sessions. T events, d embedding_dim.

    Args:
        config: Settings.
        generator: Of the first weights.
    """

    def __init__(self, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        self.max_length = config.max_length
        self._config = config
        self.prefixes = PrefixEncoder(Reader(config, generator), config.max_length)

    def forward(self, items: torch.Tensor, sequences: Sequences) -> torch.Tensor:
        """(T, d + 1) mirrored points of the newest events, from (I, d + 1) points; zero at the others."""
        return self.prefixes(items, sequences)

    def loss(self, items: torch.Tensor, batch: SequenceBatch, noise: torch.Generator) -> torch.Tensor:
        """See `recommender.sequence.catalogue_network.LearningEncoder`."""
        config = self._config
        states = self.prefixes(items, batch.sequences, noise)
        targets = torch.from_numpy(batch.targets).to(items.device)
        loss = catalogue_cross_entropy(states / (config.temperature or 1.0), items, targets)
        if config.contrast_weight:
            drawn = other_items(targets, len(items), config.num_negatives, noise)  # (T, M)
            loss = loss + config.contrast_weight * rank_contrast(
                mirrored(states), items, targets, drawn, config.margin
            )
        return loss


class Points(torch.nn.Module):
    """(I, d + 1) items as points.

    Args:
        table: (I, d) E.
    """

    def __init__(self, table: torch.nn.Module) -> None:
        super().__init__()
        self.table = table

    def forward(self) -> torch.Tensor:
        """(I, d + 1), with gradients."""
        return self.scored(self.first())

    def first(self) -> list[torch.Tensor]:
        """E."""
        return [self.table()]

    def scored(self, first: list[torch.Tensor]) -> torch.Tensor:
        """Exp of all vectors."""
        return exp_origin(first[0])


def rank_contrast(
    sessions: torch.Tensor, items: torch.Tensor, targets: torch.Tensor, others: torch.Tensor, margin: float
) -> torch.Tensor:
    """Mean over pairs of max(0, m + d(s, x_i) - d(s, x_j)).

    Args:
        sessions: (T, d + 1) points s.
        items: (I, d + 1) points x.
        targets: (T,) int64 rows i.
        others: (T, M) int64 rows j.
        margin: m.

    Returns:
        A scalar.
    """
    near = distances(sessions, items.index_select(0, targets)).unsqueeze(1)  # (T, 1)
    drawn = items.index_select(0, others.flatten()).view(*others.shape, -1)  # (T, M, d + 1)
    return relu(margin + near - distances(sessions.unsqueeze(1), drawn)).mean()


def new_items(
    config: Config, num_items: int, vectors: FloatArray | None, generator: torch.Generator
) -> Points:
    """Items as points."""
    (table,) = fused_tables(config, 1, num_items=num_items, vectors=vectors, generator=generator)
    return Points(table)


Model = catalogue_model("hcgr", new_items, Encoder)
