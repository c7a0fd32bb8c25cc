"""RecMind: text vectors that enter every layer by a gate, aligned with the graph's, and joined with them.

RecMind (arXiv 2509.06286), N = U + I nodes, E ID embeddings N(0, s²), s = init_std:

    z^L_v = W Ẽ_v / d', or  a fallback              eq. 4, `recommender.text.node_texts`
    E(l+1) = Â (g(l) E(l) + (1 - g(l)) z^L)         eq. 6-8, `recommender.graph.gated_propagation`
    z^G = layer mean of E(0) to E(L)                eq. 2
    h = alpha z^G + (1 - alpha) z^L                 eq. 9, score(u, i) = <h_u, h_i>
    loss = BPR + λ (L_U + L_I) + β L2               eq. 5 and 10, `recommender.text.alignment_phases`

A user without training events is the mean of all other users, whatever text it has; `docs/recommenders.md`.

The paper's adapters of a language model are left out: texts are embedded once and frozen. Its ablations are
settings: align=none; fixed_gate=1 (late fusion: eq. 9 alone), or another constant gate; alignment_epochs=0;
alpha=0 with num_layers=0 and align=none (language only); alpha=1 with fixed_gate=1 and align=none (the
graph alone, LightGCN). Shuffled and random texts come from ``--features-control``.

Ours: the sizes that the paper does not report (d, L, τ, λ, T_w, the batch), and a PCA between texts and W as
for every model; 384 components lose nothing of vectors of up to 384 dimensions. On colakg-lastfm's validation
part NDCG@20 is .2224 with these defaults, and .2211 without alignment. Gates begin near the graph, alpha is
high and λ low for what single trials of earlier forms showed there; no one was varied alone.
"""

from functools import partial
from typing import Final, Literal

import torch
from pydantic import Field, field_validator

from recommender.data import TrainingData
from recommender.graph.gated_propagation import GatedPropagation, GatedRows, GateInputs
from recommender.graph.nodes import training_graph
from recommender.search_space import RANKING_SPACE, Choice, LogUniform, SearchSpace
from recommender.text.alignment_phases import PhasedConfig
from recommender.text.layer_zero import NodeVectors
from recommender.text.node_texts import TextVectors
from recommender.training.embedding_config import Fusion
from recommender.two_phase_model import TwoPhaseModel


class Config(PhasedConfig):
    """Settings of RecMind."""

    pca_components: int = Field(
        default=384, ge=1, description="Dimensions d' that the frozen PCA keeps of a release's vectors."
    )
    fusion: Fusion = Field(default="none", description="Vectors enter every layer by the gate instead.")
    popularity_power: float = Field(
        default=0.75,
        description="With popularity, an item is drawn by its degree to this power; below 0, rare items are.",
    )
    num_layers: int = Field(default=3, ge=0, description="Propagation layers L.")
    first_gate: float = Field(default=0.9, gt=0, lt=1, description="Gate g of all nodes before training.")
    gate_sides: Literal["both", "items"] = Field(default="both", description="Nodes that texts enter.")
    fixed_gate: float | None = Field(
        default=None, ge=0, le=1, description="Constant gate g; none learns it, 1 lets no text enter layers."
    )

    @field_validator("fusion")
    @classmethod
    def _none(cls, fusion: Fusion) -> Fusion:
        if fusion != "none":
            raise ValueError("recmind mixes vectors into every layer by its gate; leave it out")
        return fusion


SPACE: Final[SearchSpace] = {
    **RANKING_SPACE,
    "alpha": Choice((0.4, 0.6, 0.8, 0.9)),
    "alignment_weight": LogUniform(0.001, 0.1),
    "temperature": Choice((0.1, 0.2, 0.4)),
}


class Network(torch.nn.Module):
    """The weights and eq. 4 and 6-9; d embedding_dim.

    Args:
        config: Settings.
        data: Its training pairs become the graph.
        vectors: Projected vectors Ẽ of users and items, of one side at least.
        seed: Of the first weights.

    Raises:
        UsageError: If there are no vectors.
    """

    def __init__(self, config: Config, data: TrainingData, vectors: NodeVectors, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self._sizes = (data.num_users, data.num_items)
        self.text = TextVectors(config, data, vectors, generator)
        ids = torch.randn(sum(self._sizes), config.embedding_dim, generator=generator) * config.init_std
        self.ids = torch.nn.Parameter(ids)  # (N, d)
        gate = torch.randn(2 * config.embedding_dim + 1, generator=generator) * 0.01
        self.gate_weight = torch.nn.Parameter(gate)  # w
        self.gate_bias = torch.nn.Parameter(torch.logit(torch.tensor([config.first_gate])))  # b
        self.propagation = GatedPropagation(
            training_graph(data),
            config.num_layers,
            graph_share=config.alpha,
            first_gated=data.num_users if config.gate_sides == "items" else 0,
            fixed_gate=config.fixed_gate,
        )

    @property
    def num_users(self) -> int:
        """U."""
        return self._sizes[0]

    def read(
        self, table: torch.Tensor, ranked: torch.Tensor, aligned: torch.Tensor, *, ids_learn: bool
    ) -> GatedRows:
        """Propagate, and gather (m,) and (a,) int64 node rows, given (N, d) z^L."""
        ids = self.ids if ids_learn else self.ids.detach()
        return self.propagation.rows(self._inputs(table, ids), ranked, aligned)

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) final vectors in memory of their own."""
        final, _ = self.propagation.everything(self._inputs(self.text.table(), self.ids))
        users, items = final.split(self._sizes)
        return users.clone(), items.clone()

    @torch.no_grad()
    def gates(self) -> torch.Tensor:
        """(L, N) g of every layer and node."""
        return self.propagation.everything(self._inputs(self.text.table(), self.ids))[1]

    def _inputs(self, table: torch.Tensor, ids: torch.Tensor) -> GateInputs:
        return GateInputs(ids, table, self.text.degrees(), self.gate_weight, self.gate_bias)


Model = partial(TwoPhaseModel, "recmind", Network)
