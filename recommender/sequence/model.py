"""A `Recommender` around a network that reads histories: score(history, i) = <h, e_i>.

What `recommender.vector_model` is for models with a vector per user, this is for models that make a
user's vector from the history. A model is put together at the end of its file:

    Model = partial(SequenceModel, "sasrec", Network, new_encoder)

Letters: U users or histories, I items, d dimensions.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import torch

from featurestore.errors import StoreError, UsageError
from featurestore.ids import RowArray
from featurestore.progress import Progress
from recommender.base import ArrayGroups, FitReport
from recommender.checkpoint import CheckpointFile
from recommender.data import FloatArray, Histories, TrainingData
from recommender.features import NodeFeatures
from recommender.model_arrays import (
    fit_projections,
    load_parameters,
    parameter_arrays,
    project,
    projection_groups,
    saved_projections,
)
from recommender.sequence.sequences import (
    SequenceBatch,
    Sequences,
    history_arrays,
    newest_events,
    saved_histories,
)
from recommender.text.layer_zero import NodeVectors
from recommender.training.config import training_device
from recommender.training.embedding_config import EmbeddingConfig
from recommender.training.trainer import Trainable, train

_EVENTS_AT_A_TIME: Final = 16_384
_MOST_ITEMS: Final = 2**24  # saved histories are float32, which holds whole numbers up to here exactly


class Encoder(Protocol):
    """A `torch.nn.Module` that reads histories."""

    @property
    def max_length(self) -> int:
        """Newest events of a history that are read."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """All its weights."""
        ...

    def __call__(self, items: torch.Tensor, sequences: Sequences) -> torch.Tensor:
        """(T, d) states of all events, from (I, d) item vectors; without dropout."""
        ...


class SequenceNetwork(Trainable[SequenceBatch], Protocol):
    """A `torch.nn.Module` that `SequenceModel` trains; its encoder is a part named ``encoder``."""

    def to(self, device: torch.device) -> "SequenceNetwork":
        """Move all parameters and buffers."""
        ...


NetworkType: TypeAlias = Callable[[Any, TrainingData, NodeVectors, int], SequenceNetwork]
"""(config, data, projected vectors, seed) → a network on the CPU, with its first weights."""

EncoderType: TypeAlias = Callable[[Any], Encoder]
"""config → an encoder on the CPU, whose weights are about to be loaded."""


@dataclass(frozen=True, slots=True)
class _Fitted:
    encoder: Encoder
    items: torch.Tensor  # (I, d)
    average: torch.Tensor  # (d,) mean state of the training histories
    histories: Histories


class SequenceModel:
    """See `recommender.base.Recommender`; `ReadsHistories` and `ReadsFeatures` too.

    Args:
        name: The model's file name.
        network_type: Its network.
        encoder_type: The part of it that reads histories.
        config: Its settings.
    """

    def __init__(
        self, name: str, network_type: NetworkType, encoder_type: EncoderType, config: EmbeddingConfig
    ) -> None:
        self.name = name
        self.config = config
        self._network_type = network_type
        self._encoder_type = encoder_type
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
                f"{self.name} uses no user features: a user is what the history says.",
                hint="Leave --user-features out.",
            )
        if data.num_items > _MOST_ITEMS:
            raise UsageError(
                f"the catalogue has {data.num_items:,} items; {self.name} takes {_MOST_ITEMS:,} at most."
            )
        projections = fit_projections(features, self.config.pca_components)
        vectors = project(projections, features)
        network = self._network_type(self.config, data, vectors, seed).to(training_device(self.config))
        report = train(network, data, self.config, seed=seed, progress=progress, checkpoint=checkpoint)
        self.load_arrays(self._arrays_of(network, data) | projection_groups(projections))
        return report

    def score(self, users: RowArray) -> FloatArray:
        """See `Recommender.score`."""
        fitted = self._require_fitted()
        states = history_states(fitted.encoder, fitted.items, fitted.histories, users)
        empty = torch.from_numpy(fitted.histories.lengths[users] == 0)
        states[empty] = fitted.average
        return (states @ fitted.items.T).numpy()

    def arrays(self) -> ArrayGroups:
        """Parameters, item vectors and the average user as ``weights``; ``histories``; ``pca``."""
        self._require_fitted()
        return dict(self._groups)

    def load_arrays(self, groups: ArrayGroups) -> None:
        """See `Recommender.load_arrays`."""
        weights = groups["weights"]
        encoder = self._encoder_type(self.config)
        load_parameters(encoder, weights, part="encoder.")
        items, average = (torch.from_numpy(weights[name]) for name in ("item_vectors", "average_user"))
        self._fitted = _Fitted(encoder, items, average, saved_histories(groups["histories"]))
        self._groups = dict(groups)

    def with_histories(self, histories: Histories) -> "SequenceModel":
        """See `recommender.base.ReadsHistories`."""
        asked = history_arrays(histories, self._require_fitted().encoder.max_length)
        return self._with_arrays(self._groups | {"histories": asked})

    def with_features(self, data: TrainingData, features: NodeFeatures) -> "SequenceModel":
        """See `recommender.base.ReadsFeatures`. It answers for the training histories of ``data``."""
        self._require_fitted()
        projections = saved_projections(self._groups, self.name)
        network = self._network_type(self.config, data, project(projections, features), 0)
        load_parameters(network, self._groups["weights"])
        return self._with_arrays(self._arrays_of(network, data) | projection_groups(projections))

    def _with_arrays(self, groups: ArrayGroups) -> "SequenceModel":
        other = SequenceModel(self.name, self._network_type, self._encoder_type, self.config)
        other.load_arrays(groups)
        return other

    def _arrays_of(self, network: SequenceNetwork, data: TrainingData) -> ArrayGroups:
        states, items = (vectors.cpu() for vectors in network.score_vectors())
        known = torch.from_numpy(data.histories.lengths > 0)
        final = {"item_vectors": items.numpy(), "average_user": states[known].mean(dim=0).numpy()}
        histories = history_arrays(data.histories, self._encoder_type(self.config).max_length)
        return {"weights": parameter_arrays(network) | final, "histories": histories}

    def _require_fitted(self) -> _Fitted:
        if self._fitted is None:
            raise StoreError(f"this {self.name} is empty.", hint="Call fit or load_arrays first.")
        return self._fitted


@torch.no_grad()
def history_states(
    encoder: Encoder, items: torch.Tensor, histories: Histories, rows: RowArray
) -> torch.Tensor:
    """The newest state of some histories, about 16,000 events at a time.

    Args:
        encoder: On the device of ``items``.
        items: (I, d).
        histories: One per row.
        rows: (n,) int64.

    Returns:
        (n, d) on that device; zero where a history is empty.
    """
    states = items.new_zeros(len(rows), items.shape[1])
    lengths = np.minimum(histories.lengths[rows], encoder.max_length)
    known = np.flatnonzero(lengths)
    read = np.cumsum(lengths[known])
    full = np.arange(_EVENTS_AT_A_TIME, int(lengths.sum()), _EVENTS_AT_A_TIME)
    for part in np.split(known, np.searchsorted(read, full)):
        sequences, order = newest_events(histories, rows[part], encoder.max_length)
        newest = torch.from_numpy(sequences.newest).to(items.device)
        places = torch.from_numpy(part[order]).to(items.device)
        if len(places):
            states[places] = encoder(items, sequences).index_select(0, newest)
    return states
