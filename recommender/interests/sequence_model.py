"""A `Recommender` around a network that reads histories, and knows the users' groups besides.

score(u, i) = <query of the history + w h_u, e_i>: `recommender.sequence.model` answers for the
query; w h_u, w its group_weight, is added here. Whoever is asked about must be recognised for that: if there
are as many histories as users, and history r goes on from the training history of user r, it is user r's. Any
other history has the mean of all users' w h, an empty one is scored as an average user.

Letters: U users, n histories asked about, I items, d dimensions.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
import torch

from featurestore.errors import StoreError
from featurestore.ids import RowArray
from featurestore.progress import Progress
from recommender.base import ArrayGroups, FitReport
from recommender.checkpoint import CheckpointFile
from recommender.data import FloatArray, Histories, IntArray, TrainingData
from recommender.features import NodeFeatures
from recommender.interests.groups import GroupInterests
from recommender.interests.model import GRAPH, fit_graph, items_only
from recommender.interests.sequential import SequentialConfig
from recommender.model_arrays import load_parameters
from recommender.sequence.known_histories import KnownHistories, saved_known_histories
from recommender.sequence.model import EncoderType, SequenceModel, SequenceNetwork
from recommender.text.layer_zero import NodeVectors

_GROUPS: Final = "groups"
_KNOWN: Final = "known_histories"
_PART: Final = "interests.groups."

NetworkType: TypeAlias = Callable[[IntArray, Any, TrainingData, NodeVectors, int], SequenceNetwork]
"""(neighbours, config, data, projected vectors, seed) → a network on the CPU, with its first weights; its
``interests.groups`` are `GroupInterests`, its scores have `SequentialConfig.group_weight` times their H."""


class GroupSequenceModel:
    """See `recommender.base.Recommender`; `ReadsHistories` and `ReadsFeatures` too.

    Args:
        name: The model's file name.
        network_type: Its network.
        encoder_type: The part of it that reads histories.
        config: Its settings.
    """

    def __init__(
        self, name: str, network_type: NetworkType, encoder_type: EncoderType, config: SequentialConfig
    ) -> None:
        self.name = name
        self.config = config
        self._network_type = network_type
        self._encoder_type = encoder_type
        self._own: ArrayGroups = {}  # what the inner model's arrays lack
        self._inner: SequenceModel | None = None

    def fit(
        self,
        data: TrainingData,
        *,
        features: NodeFeatures | None,
        seed: int,
        progress: Progress,
        checkpoint: CheckpointFile | None = None,
    ) -> FitReport:
        """See `Recommender.fit`; users' vectors are what the graph is made of, and nothing else.

        Raises:
            UsageError: If users are to be compared by vectors, and there are none.
        """
        graph = fit_graph(self.config, data, features, seed)
        inner = self._around(graph)
        report = inner.fit(
            data, features=items_only(features), seed=seed, progress=progress, checkpoint=checkpoint
        )
        known = KnownHistories.of(data.histories, self.config.max_length)
        self._inner = inner
        self._own = {
            GRAPH: {"neighbors": graph},
            _KNOWN: known.arrays(),
            _GROUPS: {
                "vectors": self._weighted_groups(graph, inner),
                "recognised": known.recognised(data.histories).astype(np.float32),
            },
        }
        return report

    def score(self, users: RowArray) -> FloatArray:
        """See `Recommender.score`."""
        inner = self._fitted()
        arrays, groups = inner.arrays(), self._own[_GROUPS]
        vectors = groups["vectors"]  # (U, d)
        mean = vectors[self._own[_KNOWN]["lengths"] > 0].mean(axis=0)
        recognised = groups["recognised"][users] > 0
        asked = np.tile(mean, (len(users), 1))  # (n, d)
        asked[recognised] = vectors[users[recognised]]
        asked[arrays["histories"]["row_lengths"][users] == 0] = 0.0
        scores = inner.score(users)
        scores += asked @ arrays["weights"]["item_vectors"].T
        return scores

    def arrays(self) -> ArrayGroups:
        """Those of `SequenceModel`, the graph, w H, and by what users are recognised."""
        return self._fitted().arrays() | self._own

    def load_arrays(self, groups: ArrayGroups) -> None:
        """See `Recommender.load_arrays`."""
        own = {name: groups[name] for name in (GRAPH, _KNOWN, _GROUPS)}
        inner = self._around(own[GRAPH]["neighbors"])
        inner.load_arrays({name: arrays for name, arrays in groups.items() if name not in own})
        self._inner, self._own = inner, own

    def with_histories(self, histories: Histories) -> "GroupSequenceModel":
        """See `recommender.base.ReadsHistories`."""
        inner = self._fitted().with_histories(histories)
        found = saved_known_histories(self._own[_KNOWN]).recognised(histories)
        return self._with(inner, {"recognised": found.astype(np.float32)})

    def with_features(self, data: TrainingData, features: NodeFeatures) -> "GroupSequenceModel":
        """See `recommender.base.ReadsFeatures`. It answers for the training histories of ``data``."""
        inner = self._fitted().with_features(data, NodeFeatures(features.items))
        found = saved_known_histories(self._own[_KNOWN]).recognised(data.histories)
        return self._with(inner, {"recognised": found.astype(np.float32)})

    def _with(self, inner: SequenceModel, groups: dict[str, FloatArray]) -> "GroupSequenceModel":
        other = GroupSequenceModel(self.name, self._network_type, self._encoder_type, self.config)
        other._inner = inner
        other._own = self._own | {_GROUPS: self._own[_GROUPS] | groups}
        return other

    def _around(self, graph: FloatArray) -> SequenceModel:
        network_type = partial(self._network_type, graph.astype(np.int64))
        return SequenceModel(self.name, network_type, self._encoder_type, self.config)

    def _weighted_groups(self, graph: FloatArray, inner: SequenceModel) -> FloatArray:
        """(U, d) w H of the weights that were learned."""
        config = self.config
        groups = GroupInterests(
            graph.astype(np.int64),
            config.group_layers,
            embedding_dim=config.embedding_dim,
            std=config.init_std,
            generator=torch.Generator(),
        )
        load_parameters(groups, inner.arrays()["weights"], part=_PART)
        return (config.group_weight * groups.everything()).numpy()

    def _fitted(self) -> SequenceModel:
        if self._inner is None:
            raise StoreError(f"this {self.name} is empty.", hint="Call fit or load_arrays first.")
        return self._inner
