"""A `Recommender` around a network that reads histories, and knows whose they are.

Whoever is asked about must be recognised for that: if there are as many histories as users, and history r
goes on from the training history of user r, it is user r's (`recommender.sequence.known_histories`). Any
other history is read as if it were a user's with the mean vector of all; an empty one is scored as an average
user.

Letters: U users, n histories asked about, I items, d dimensions of a user, D columns of item vectors.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import torch

from featurestore.errors import StoreError, UsageError
from featurestore.ids import RowArray
from featurestore.progress import Progress
from recommender.base import ArrayGroups, FitReport
from recommender.checkpoint import CheckpointFile
from recommender.data import FloatArray, Histories, TrainingData
from recommender.features import NodeFeatures
from recommender.model_arrays import load_parameters
from recommender.sequence.known_histories import KnownHistories, saved_known_histories
from recommender.sequence.model import SequenceModel
from recommender.sequence.sequences import history_arrays, saved_histories
from recommender.sequence.user_network import (
    NewUserEncoder,
    UserEncoder,
    UserSequenceConfig,
    UserSequenceNetwork,
    user_history_states,
)

_KNOWN: Final = "known_histories"
_ASKED: Final = "users"
_USERS: Final = "parameter.users"


@dataclass(frozen=True, slots=True)
class _Fitted:
    encoder: UserEncoder
    items: torch.Tensor  # (I, D)
    average: torch.Tensor  # (D,) mean state of the training histories
    histories: Histories
    users: torch.Tensor  # (n, d) of whoever each history is


class UserSequenceModel:
    """See `recommender.base.Recommender`; `ReadsHistories` and `ReadsFeatures` too.

    Args:
        name: The model's file name.
        new_encoder: Makes the part of its network that reads histories.
        config: Its settings.
    """

    def __init__(self, name: str, new_encoder: NewUserEncoder, config: UserSequenceConfig) -> None:
        self.name = name
        self.config = config
        self._new_encoder = new_encoder
        self._groups: ArrayGroups = {}
        self._fitted: _Fitted | None = None

    def fit(
        self,
        data: TrainingData,
        *,
        features: NodeFeatures | None,
        seed: int,
        progress: Progress,
        checkpoint: CheckpointFile | None = None,
    ) -> FitReport:
        """See `Recommender.fit`."""
        if features is not None and features.users is not None:
            raise UsageError(
                f"{self.name} uses no user features: it learns a vector of each user.",
                hint="Leave --user-features out.",
            )
        inner = self._learner()
        report = inner.fit(data, features=features, seed=seed, progress=progress, checkpoint=checkpoint)
        known = KnownHistories.of(data.histories, self.config.max_length)
        own = {_KNOWN: known.arrays(), _ASKED: _recognised(known, data.histories)}
        self.load_arrays(inner.arrays() | own)
        return report

    def score(self, users: RowArray) -> FloatArray:
        """See `Recommender.score`."""
        fitted = self._require_fitted()
        states = user_history_states(
            fitted.encoder, fitted.items, fitted.histories, users, fitted.users[torch.from_numpy(users)]
        )
        empty = torch.from_numpy(fitted.histories.lengths[users] == 0)
        states[empty] = fitted.average
        return (states @ fitted.items.T).numpy()

    def arrays(self) -> ArrayGroups:
        """Those of `SequenceModel`; by what users are recognised; and which of the ``users`` were."""
        self._require_fitted()
        return dict(self._groups)

    def load_arrays(self, groups: ArrayGroups) -> None:
        """See `Recommender.load_arrays`."""
        weights, recognised = groups["weights"], groups[_ASKED]["recognised"] > 0  # (n,)
        encoder = self._new_encoder(self.config, torch.Generator())
        load_parameters(encoder, weights, part="encoder.")
        own = weights[_USERS]  # (U, d)
        users = np.tile(own[groups[_KNOWN]["lengths"] > 0].mean(axis=0), (len(recognised), 1))
        users[recognised] = own[np.flatnonzero(recognised)]
        items, average = (torch.from_numpy(weights[name]) for name in ("item_vectors", "average_user"))
        histories = saved_histories(groups["histories"])
        self._fitted = _Fitted(encoder, items, average, histories, torch.from_numpy(users))
        self._groups = dict(groups)

    def with_histories(self, histories: Histories) -> "UserSequenceModel":
        """See `recommender.base.ReadsHistories`."""
        asked = history_arrays(histories, self._require_fitted().encoder.max_length)
        return self._with_arrays({"histories": asked}, histories)

    def with_features(self, data: TrainingData, features: NodeFeatures) -> "UserSequenceModel":
        """See `recommender.base.ReadsFeatures`. It answers for the training histories of ``data``."""
        self._require_fitted()
        inner = self._learner()
        inner.load_arrays(self._groups)
        return self._with_arrays(inner.with_features(data, features).arrays(), data.histories)

    def _learner(self) -> SequenceModel:
        """What trains the network, and takes its arrays apart; it is never asked for scores."""
        network_type = partial(UserSequenceNetwork, self._new_encoder)
        return SequenceModel(self.name, network_type, self._blank_encoder, self.config)

    def _blank_encoder(self, config: UserSequenceConfig) -> Any:  # noqa: ANN401 - it takes users besides
        return self._new_encoder(config, torch.Generator())

    def _with_arrays(self, groups: ArrayGroups, histories: Histories) -> "UserSequenceModel":
        known = saved_known_histories(self._groups[_KNOWN])
        other = UserSequenceModel(self.name, self._new_encoder, self.config)
        other.load_arrays(self._groups | groups | {_ASKED: _recognised(known, histories)})
        return other

    def _require_fitted(self) -> _Fitted:
        if self._fitted is None:
            raise StoreError(f"this {self.name} is empty.", hint="Call fit or load_arrays first.")
        return self._fitted


def _recognised(known: KnownHistories, asked: Histories) -> dict[str, FloatArray]:
    return {"recognised": known.recognised(asked).astype(np.float32)}
