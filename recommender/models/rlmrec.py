"""RLMRec-type contrast: LightGCN whose vectors agree with texts that do not enter it.

After Ren et al., "Representation Learning with Large Language Models for Recommendation", WWW 2024 (arXiv
2310.15950), its contrastive variant; our reconstruction from the paper, not from its code:

    E = layer mean of Â^l E(0)          score(u, i) = <E_u, E_i>; no text is read for it
    s_v = MLP(Ẽ_v)                      `recommender.text.adapter`, one of users and one of items
    loss = ranking loss + reg · L2 of the batch's layer-0 rows + λ · (InfoNCE of users + of items)(E, s)

InfoNCE is of the batch's users and of its positives, each once, as far as they have a text; other nodes of
the batch are the negatives. A side without vectors goes without it. λ and τ are those that we remember of the
paper's settings. The generative variant, which masks nodes and reconstructs their texts, is left out.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np
import torch
from pydantic import Field, field_validator

from featurestore.errors import UsageError
from recommender.data import FloatArray, TrainingData
from recommender.graph.node_contrast import contrast_in_batch
from recommender.graph.nodes import batch_nodes, batch_rows, training_graph
from recommender.graph.propagation import Propagation, layer_mean
from recommender.search_space import RANKING_SPACE, Choice, LogUniform, SearchSpace
from recommender.text.adapter import TextAdapter
from recommender.text.layer_zero import LayerZero, NodeVectors
from recommender.training.embedding_config import Fusion
from recommender.training.losses import l2_penalty
from recommender.training.ranking_loss import RankingConfig, pair_sampler, ranking_loss
from recommender.training.sampling import PairBatch
from recommender.vector_model import VectorModel


class Config(RankingConfig):
    """Settings of the RLMRec-type model."""

    pca_components: int = Field(
        default=384, ge=1, description="Dimensions d' that the frozen PCA keeps of a release's vectors."
    )
    num_layers: int = Field(default=3, ge=0, description="Propagation layers L.")
    contrast_weight: float = Field(default=0.01, ge=0, description="Weight λ of InfoNCE.")
    temperature: float = Field(default=0.2, gt=0, description="Temperature τ of InfoNCE.")
    fusion: Fusion = Field(default="none", description="Vectors are contrasted with and enter nothing.")

    @field_validator("fusion")
    @classmethod
    def _none(cls, fusion: Fusion) -> Fusion:
        if fusion != "none":
            raise ValueError("rlmrec contrasts with vectors and puts them into nothing; leave it out")
        return fusion


SPACE: Final[SearchSpace] = {
    **RANKING_SPACE,
    "contrast_weight": LogUniform(1e-3, 1.0),
    "temperature": Choice((0.1, 0.2, 0.5)),
}


class Network(torch.nn.Module):
    """The trainable part. U users, I items, N = U + I nodes, b batch size, M negatives, d embedding_dim.

    Args:
        config: Settings.
        data: Its training pairs become the graph.
        vectors: Projected vectors of users and items, of one side at least.
        seed: Of the first weights.

    Raises:
        UsageError: If there are no vectors.
    """

    def __init__(self, config: Config, data: TrainingData, vectors: NodeVectors, seed: int) -> None:
        super().__init__()
        if vectors[0] is None and vectors[1] is None:
            raise UsageError(
                "rlmrec contrasts with vectors of texts, and none were given.",
                hint="Pass --features FEATURE, --user-features FEATURE, or both; without, it is lightgcn.",
            )
        self._config = config
        self._num_users = data.num_users
        self._sampler = pair_sampler(config, data)
        generator = torch.Generator().manual_seed(seed)
        self.layer_zero = LayerZero.of(config, data, (None, None), generator)
        self.propagation = Propagation(training_graph(data), config.num_layers)
        self.texts = torch.nn.ModuleList(
            _Texts(given, start, config.embedding_dim, generator)
            for start, given in zip((0, data.num_users), vectors, strict=True)
        )

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """See `Trainable.epoch`."""
        return self._sampler.epoch(generator)

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        """Ranking loss + reg · L2 + λ · InfoNCE of one batch."""
        del noise
        config, layer_zero = self._config, self.layer_zero()
        ranked = batch_rows(batch, self._num_users).to(layer_zero.device)
        both = [texts for texts in self.texts if isinstance(texts, _Texts)]
        sides = zip(both, batch_nodes(batch, self._num_users), strict=True)
        known = [texts.known(nodes.to(layer_zero.device)) for texts, nodes in sides]
        final, first = self.propagation.rows(layer_zero, torch.cat([ranked, *known]))
        of_pairs, *of_sides = final.split([len(ranked), *(len(nodes) for nodes in known)])
        penalty = config.reg * l2_penalty(first[: len(ranked)], len(batch))
        loss = ranking_loss(config, of_pairs, len(batch)) + penalty
        for texts, nodes, vectors in zip(both, known, of_sides, strict=True):
            if len(nodes):
                contrast = contrast_in_batch([vectors], [texts(nodes)], config.temperature)
                loss = loss + config.contrast_weight * contrast[0]
        return loss

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) final vectors in memory of their own."""
        final = layer_mean(self.layer_zero(), self.propagation.adjacency, self.propagation.num_layers)
        return final[: self._num_users].clone(), final[self._num_users :].clone()


class _Texts(torch.nn.Module):
    """s of the nodes of one side, whose rows begin at ``start``."""

    vectors: torch.Tensor | None

    def __init__(self, vectors: FloatArray | None, start: int, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self._start = start
        given = None if vectors is None else torch.from_numpy(vectors)
        self.register_buffer("vectors", given, persistent=False)  # (n, d') Ẽ
        self.adapter = None if given is None else TextAdapter(given.shape[1], dim, generator)

    def known(self, nodes: torch.Tensor) -> torch.Tensor:
        """Those of (m,) node rows that have a text."""
        if self.vectors is None:
            return nodes[:0]
        return nodes[self.vectors[nodes - self._start].any(dim=1)]

    def forward(self, nodes: torch.Tensor) -> torch.Tensor:
        """(m, d) s of (m,) node rows of a side that has vectors."""
        assert self.adapter is not None
        assert self.vectors is not None
        return self.adapter(self.vectors[nodes - self._start])


Model = partial(VectorModel, "rlmrec", Network)
