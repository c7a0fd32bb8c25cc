"""AlphaRec-type recommender: no ID at all; texts of items, a map of them, and propagation.

After Sheng et al., "Language Representations Can be What Recommenders Need: Findings and Potentials", ICLR
2025 (arXiv 2407.05441); our reconstruction from the paper, not from its code:

    x_i = Ẽ_i                              a frozen text vector; x_u = mean of x_i over u's training items
    E(0)_v = MLP(x_v)                      `recommender.text.adapter`, one for users and items
    E = layer mean of Â^l E(0)             score(u, i) = cos(E_u, E_i)
    loss = mean over pairs of -log softmax of cos(E_u, E_i)/τ among i and M negatives

Ours: all pairs of a batch share one draw of M different items, so that M negatives cost one (b, d) by (d, M)
product; a drawn item that the user has is no negative of that user. The PCA stands before the MLP as it does
in every model (`pca_components`; 384 lose nothing of vectors of up to 384 dimensions), and puts the mean of
all texts at zero. M, τ and L are those that we remember of the paper's settings.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np
import torch
from pydantic import Field, field_validator
from torch.nn.functional import normalize

from featurestore.errors import UsageError
from recommender.data import IntArray, TrainingData
from recommender.graph.history_mean import HistoryMean
from recommender.graph.nodes import training_graph
from recommender.graph.propagation import Propagation, layer_mean
from recommender.search_space import Choice, LogUniform, SearchSpace
from recommender.text.adapter import TextAdapter
from recommender.text.layer_zero import NodeVectors
from recommender.training.embedding_config import EmbeddingConfig, Fusion
from recommender.training.losses import sampled_softmax_loss
from recommender.training.sampling import PairBatch, PairSampler
from recommender.vector_model import VectorModel


class Config(EmbeddingConfig):
    """Settings of the AlphaRec-type model."""

    num_layers: int = Field(default=2, ge=0, description="Propagation layers L.")
    num_negatives: int = Field(default=256, ge=1, description="Negatives M per step, at most all items.")
    temperature: float = Field(default=0.15, gt=0, description="Temperature τ of the softmax.")
    learning_rate: float = Field(default=0.001, gt=0, description="Step size of Adam.")
    pca_components: int = Field(
        default=384, ge=1, description="Dimensions d' that the frozen PCA keeps of a release's vectors."
    )
    reg: float = Field(default=0.0, ge=0, le=0, description="Must be 0: there are no IDs to keep small.")
    fusion: Fusion = Field(default="replace", description="Vectors stand in the place of IDs.")

    @field_validator("fusion")
    @classmethod
    def _replace(cls, fusion: Fusion) -> Fusion:
        if fusion != "replace":
            raise ValueError("alpharec has no IDs that vectors could join; leave it out")
        return fusion


SPACE: Final[SearchSpace] = {
    "learning_rate": LogUniform(2e-4, 1e-2),
    "temperature": Choice((0.05, 0.1, 0.15, 0.2)),
    "num_layers": Choice((1, 2, 3)),
}


class Network(torch.nn.Module):
    """The trainable part. U users, I items, N = U + I nodes, b batch size, M negatives, d embedding_dim.

    Args:
        config: Settings.
        data: Its training pairs become graph and histories.
        vectors: None of users, and projected vectors of items.
        seed: Of the first weights.

    Raises:
        UsageError: If there are no vectors of items, or vectors of users besides.
    """

    inputs: torch.Tensor

    def __init__(self, config: Config, data: TrainingData, vectors: NodeVectors, seed: int) -> None:
        super().__init__()
        items = _item_vectors(vectors)
        self._config = config
        self._data = data
        self._sampler = PairSampler(data, config.batch_size)
        self.register_buffer(
            "inputs", torch.cat([HistoryMean(data)(items), items]), persistent=False
        )  # (N, d')
        self.adapter = TextAdapter(items.shape[1], config.embedding_dim, torch.Generator().manual_seed(seed))
        self.propagation = Propagation(training_graph(data), config.num_layers)

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """See `Trainable.epoch`; its negatives are not read."""
        return self._sampler.epoch(generator)

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        """InfoNCE of one batch."""
        device, num_users = self.inputs.device, self._data.num_users
        drawn = torch.randperm(self._data.num_items, generator=noise, device=device)
        drawn = drawn[: self._config.num_negatives]  # (M,)
        pairs = torch.from_numpy(np.concatenate([batch.users, batch.positives + num_users])).to(device)
        adapted = self.adapter(self.inputs).float()  # of bfloat16 in mixed precision
        final, _ = self.propagation.rows(adapted, torch.cat([pairs, drawn + num_users]))
        users, positives, negatives = normalize(final, dim=1).split([len(batch), len(batch), len(drawn)])
        own = self._own_items(batch.users, drawn)
        cosines = users @ negatives.T  # (b, M)
        cosines = cosines.index_put(own, cosines.new_tensor(-torch.inf))
        temperature = self._config.temperature
        return sampled_softmax_loss((users * positives).sum(dim=1) / temperature, cosines / temperature)

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) vectors of length 1."""
        adjacency, num_layers = self.propagation.adjacency, self.propagation.num_layers
        final = normalize(layer_mean(self.adapter(self.inputs), adjacency, num_layers), dim=1)
        return final[: self._data.num_users].clone(), final[self._data.num_users :].clone()

    def _own_items(self, users: IntArray, drawn: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Lines of ``users`` and columns of ``drawn`` where the user has the item."""
        columns_of = np.full(self._data.num_items, -1)
        columns_of[drawn.cpu().numpy()] = np.arange(len(drawn))
        lines, items = self._data.seen.pairs_of(users)
        columns = columns_of[items]
        lines, columns = lines[columns >= 0], columns[columns >= 0]
        return torch.from_numpy(lines).to(drawn.device), torch.from_numpy(columns).to(drawn.device)


def _item_vectors(vectors: NodeVectors) -> torch.Tensor:
    users, items = vectors
    if items is None:
        raise UsageError(
            "alpharec is made of vectors of items, and none were given.", hint="Pass --features FEATURE."
        )
    if users is not None:
        raise UsageError(
            "alpharec uses no user features: a user is the items that the user had.",
            hint="Leave --user-features out.",
        )
    return torch.from_numpy(items)


Model = partial(VectorModel, "alpharec", Network)
