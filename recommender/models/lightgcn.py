"""LightGCN, with plain ID embeddings or with semantic item features.

He et al., "LightGCN", SIGIR 2020; the semantic item input is eq. 2-4 of ISRF (arXiv 2603.13934):

    (2) E_V = W2 (W1 Ẽ + b1) + b2        Ẽ (I, d'): frozen PCA of the items' text vectors. The published code
                                         has no activation between the two maps, hidden size (d' + d)/2
    (3) E(0) = [E_U ; E_V]               E_U (U, d) ~ N(0, s²), s = init_std
    (4) E = layer mean of Â^l E(0)       see `recommender.propagation`
    score(u, i) = <E_u, E_i>             loss = BPR + reg · L2 of the batch's layer-0 rows

``item_input`` says what an item's layer 0 is when there are features: ``replace`` is eq. 3; ``add`` is
E_V + an ID embedding per item, our reconstruction for items whose text says too little.
Two more reconstructions: W2 starts at s/√hidden so that E_V begins as small as E_U, and a user without
training events is scored with the mean of all trained users' vectors.
"""

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from featurestore.errors import StoreError
from featurestore.ids import RowArray
from featurestore.progress import Progress
from recommender.base import ArrayGroups, FitReport
from recommender.data import FloatArray, TrainingData
from recommender.features import ItemFeatures, Projection, fit_projection
from recommender.losses import bpr_loss, l2_penalty
from recommender.propagation import Propagation, layer_mean, normalized_adjacency
from recommender.sampling import PairBatch
from recommender.trainer import TrainerConfig, score_users, train


class Config(TrainerConfig):
    """Settings of LightGCN."""

    embedding_dim: int = Field(default=64, ge=1, description="Dimensions d of every embedding.")
    num_layers: int = Field(default=3, ge=0, description="Propagation layers L; 0 is matrix factorisation.")
    reg: float = Field(default=1e-4, ge=0, description="Weight of the L2 penalty on layer-0 embeddings.")
    init_std: float = Field(default=0.1, gt=0, description="Standard deviation s of new ID embeddings.")
    item_input: Literal["replace", "add"] = Field(
        default="add",
        description="With features: they replace the items' ID embeddings, or are added to them.",
    )
    pca_components: int = Field(
        default=128, ge=1, description="Dimensions d' that the frozen PCA keeps of item vectors."
    )


class Model:
    """A LightGCN over one release's id maps."""

    name: ClassVar[str] = "lightgcn"

    def __init__(self, config: Config) -> None:
        self.config = config
        self._user_vectors: torch.Tensor | None = None  # (U, d), propagated
        self._item_vectors: torch.Tensor | None = None  # (I, d), propagated
        self._extra: ArrayGroups = {}

    def fit(
        self, data: TrainingData, *, features: ItemFeatures | None, seed: int, progress: Progress
    ) -> FitReport:
        """See `Recommender.fit`."""
        projection = fit_projection(features, self.config.pca_components) if features is not None else None
        projected = projection.apply(features) if projection is not None and features is not None else None
        network = LightGCNNetwork(self.config, data, projected, seed)
        report = train(network, data, self.config, seed=seed, progress=progress)
        self._user_vectors, self._item_vectors = network.score_vectors()
        trained = {f"parameter.{n}": w.detach().numpy().copy() for n, w in network.named_parameters()}
        self._extra = {"weights": trained} | (_projection_arrays(projection) if projection else {})
        return report

    def score(self, users: RowArray) -> FloatArray:
        """See `Recommender.score`."""
        user_vectors, item_vectors = self._vectors()
        return score_users(user_vectors, item_vectors, users)

    def arrays(self) -> ArrayGroups:
        """Final vectors and trained parameters as ``weights``; the frozen projection, if any, as ``pca``."""
        user_vectors, item_vectors = self._vectors()
        final = {"user_vectors": user_vectors.numpy(), "item_vectors": item_vectors.numpy()}
        return self._extra | {"weights": self._extra["weights"] | final}

    def load_arrays(self, groups: ArrayGroups) -> None:
        """See `Recommender.load_arrays`."""
        weights = dict(groups["weights"])
        self._user_vectors = torch.from_numpy(weights.pop("user_vectors"))
        self._item_vectors = torch.from_numpy(weights.pop("item_vectors"))
        self._extra = groups | {"weights": weights}

    def with_features(self, data: TrainingData, features: ItemFeatures) -> "Model":
        """See `recommender.base.ReadsFeatures`."""
        self._vectors()
        if "pca" not in self._extra:
            raise StoreError(
                "this LightGCN was fitted without item features.", hint="Train it with --features FEATURE."
            )
        projection = Projection(**self._extra["pca"])
        network = LightGCNNetwork(self.config, data, projection.apply(features), seed=0)
        with torch.no_grad():
            for name, weight in network.named_parameters():
                weight.copy_(torch.from_numpy(self._extra["weights"][f"parameter.{name}"]))
        other = Model(self.config)
        other._extra = self._extra
        other._user_vectors, other._item_vectors = network.score_vectors()
        return other

    def _vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self._user_vectors is None or self._item_vectors is None:
            raise StoreError("this LightGCN is empty.", hint="Call fit or load_arrays first.")
        return self._user_vectors, self._item_vectors


class LightGCNNetwork(torch.nn.Module):
    """The trainable part. U users, I items, N = U + I nodes, b batch size, d embedding_dim.

    Args:
        config: Settings.
        data: Its training pairs become the graph.
        item_features: (I, d') float32 projected item vectors, or None for plain ID embeddings.
        seed: Of the first weights.
    """

    def __init__(
        self, config: Config, data: TrainingData, item_features: FloatArray | None, seed: int
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self._config = config
        self._num_users, self._num_items = data.num_users, data.num_items
        self._cold_users = torch.from_numpy(np.flatnonzero(data.seen.degrees == 0))
        adjacency = normalized_adjacency(
            data.train_users, data.train_items, num_users=data.num_users, num_items=data.num_items
        )
        self._propagation = Propagation(adjacency, config.num_layers)
        has_item_ids = item_features is None or config.item_input == "add"
        num_ids = data.num_users + (data.num_items if has_item_ids else 0)
        ids = torch.randn(num_ids, config.embedding_dim, generator=generator) * config.init_std
        self.ids = torch.nn.Parameter(ids)  # (U or N, d): users first
        self.adapter = None
        if item_features is not None:
            self.adapter = LinearAdapter(torch.from_numpy(item_features), config, generator)

    def layer_zero(self) -> torch.Tensor:
        """(N, d) E(0): users, then items."""
        if self.adapter is None:
            return self.ids
        item_vectors = self.adapter()  # (I, d)
        if len(self.ids) > self._num_users:
            item_vectors = item_vectors + self.ids[self._num_users :]
        return torch.cat([self.ids[: self._num_users], item_vectors])

    def loss(self, batch: PairBatch) -> torch.Tensor:
        """BPR + reg · L2 of one batch."""
        rows = np.concatenate(
            [batch.users, batch.positives + self._num_users, batch.negatives + self._num_users]
        )
        final, first = self._propagation.rows(self.layer_zero(), torch.from_numpy(rows))  # (3b, d) each
        users, positives, negatives = final.view(3, len(batch), -1)  # (b, d) each
        ranking = bpr_loss((users * positives).sum(dim=1), (users * negatives).sum(dim=1))
        return ranking + self._config.reg * l2_penalty(first, len(batch))

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) final vectors in memory of their own."""
        final = layer_mean(self.layer_zero(), self._propagation.adjacency, self._propagation.num_layers)
        users = final[: self._num_users].clone()
        if 0 < len(self._cold_users) < len(users):
            warm = torch.ones(len(users), dtype=torch.bool)
            warm[self._cold_users] = False
            users[self._cold_users] = users[warm].mean(dim=0)
        return users, final[self._num_users :].clone()


class LinearAdapter(torch.nn.Module):
    """E_V = W2 (W1 Ẽ + b1) + b2, eq. 2. Without an activation the two maps are composed before Ẽ is read.

    Args:
        features: (I, d') float32 Ẽ, frozen.
        config: Gives d and s.
        generator: Of the first weights.
    """

    def __init__(self, features: torch.Tensor, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        self._features = features
        input_dim, output_dim = features.shape[1], config.embedding_dim
        hidden_dim = (input_dim + output_dim) // 2 or 1

        def new(rows: int, columns: int, std: float) -> torch.nn.Parameter:
            return torch.nn.Parameter(torch.randn(rows, columns, generator=generator) * std)

        self.weight_in = new(hidden_dim, input_dim, input_dim**-0.5)  # W1
        self.bias_in = torch.nn.Parameter(torch.zeros(hidden_dim))  # b1
        self.weight_out = new(output_dim, hidden_dim, config.init_std * hidden_dim**-0.5)  # W2
        self.bias_out = torch.nn.Parameter(torch.zeros(output_dim))  # b2

    def forward(self) -> torch.Tensor:
        """(I, d) E_V."""
        weight = self.weight_out @ self.weight_in  # (d, d')
        bias = self.weight_out @ self.bias_in + self.bias_out  # (d,)
        return torch.addmm(bias, self._features, weight.T)


def _projection_arrays(projection: Projection) -> ArrayGroups:
    return {"pca": {"mean": projection.mean, "components": projection.components, "scale": projection.scale}}
