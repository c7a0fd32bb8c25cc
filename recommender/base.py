"""The recommender boundary, on one page.

Letters: n users asked for, d embedding dimensions, U users and I items of the release's id maps. Users and
items are rows of those maps. Models live in `recommender.models`, one file each, with a ``Config`` (frozen
settings) and a ``Model`` (this Protocol); all of them pass the contract suite in `recommender.testing`.
"""

from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from featurestore.ids import RowArray
from featurestore.progress import Progress
from featurestore.spec import Frozen
from recommender.checkpoint import CheckpointFile
from recommender.data import FloatArray, Histories, TrainingData
from recommender.features import NodeFeatures

ArrayGroups: TypeAlias = dict[str, dict[str, FloatArray]]
"""File name without suffix → array name → float32 array: ``{"weights": {"item_vectors": …}}``."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One validation during training.

    Attributes:
        epoch: Epochs trained so far, from 1.
        loss: Mean training loss of the last epoch.
        metric: Value of the monitored validation metric; None without validation events.
        seconds: Since training began.
    """

    epoch: int
    loss: float
    metric: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class FitReport:
    """How training went.

    Attributes:
        epochs: Epochs trained.
        best_epoch: The epoch whose weights were kept.
        best_metric: Its value of the monitored validation metric; None without validation events.
        monitor: The metric that chose the epoch, such as ``ndcg@10``.
        seconds: Wall-clock time in all.
        step_milliseconds: Median time of one optimiser step; 0 if there are none.
        interrupted: Training was stopped by Ctrl-C; the best epoch until then is kept.
        history: Every validation.
    """

    epochs: int = 0
    best_epoch: int = 0
    best_metric: float | None = None
    monitor: str = "ndcg@10"
    seconds: float = 0.0
    step_milliseconds: float = 0.0
    interrupted: bool = False
    history: tuple[EpochRecord, ...] = ()


class Recommender(Protocol):
    """A model: ``Model(config)``, then `fit` or `load_arrays`, then `score`."""

    @property
    def name(self) -> str:
        """The file name in ``recommender/models``."""
        ...

    @property
    def config(self) -> Frozen:
        """The settings it was built with."""
        ...

    def fit(
        self,
        data: TrainingData,
        *,
        features: NodeFeatures | None,
        seed: int,
        progress: Progress,
        checkpoint: CheckpointFile | None = None,
    ) -> FitReport:
        """Learn from training data, from scratch: a second call forgets the first.

        Args:
            data: Training and validation pairs. There is no test part in it.
            features: Vectors of items, of users or of both; or None.
            seed: The one source of randomness.
            progress: Told about epochs.
            checkpoint: Where training keeps its state and goes on from; not used by a model without epochs.

        Raises:
            UsageError: If the model cannot use ``features``.
        """
        ...

    def score(self, users: RowArray) -> FloatArray:
        """How much each user would like each item.

        Args:
            users: (n,) int64 user rows. A user without training events is scored as an average user.

        Returns:
            (n, I) float32, higher is better, in new memory that the caller may change. A user's scores do not
            depend on who else is asked for (to the last bits of a matrix product).

        Raises:
            StoreError: If the model was neither fitted nor loaded.
        """
        ...

    def arrays(self) -> ArrayGroups:
        """Everything `score` needs, as arrays: what a saved model consists of."""
        ...

    def load_arrays(self, groups: ArrayGroups) -> None:
        """Take over what `arrays` gave: scores are equal to the bit."""
        ...


@runtime_checkable
class ReadsFeatures(Protocol):
    """What a model can do besides if vectors of items or users are an input of its scores."""

    def with_features(self, data: TrainingData, features: NodeFeatures) -> Recommender:
        """The same weights and the same frozen projection over other vectors and another graph.

        Args:
            data: Its training pairs are propagated over; nothing is learned. Its users and items are the rows
                that the model was fitted on.
            features: Vectors of the embedding spaces that the model was fitted on, for the same sides.

        Raises:
            StoreError: If the model was neither fitted nor loaded, or was fitted without features.
        """
        ...


@runtime_checkable
class ReadsHistories(Protocol):
    """What a model can do besides if it ranks what comes next in a history."""

    def with_histories(self, histories: Histories) -> Recommender:
        """The same weights, asked about other histories: row r of the result's users is history r.

        A fitted model answers for the training histories of its users. To be asked about the test part it is
        given train and validation; for sessions, one row per prefix. An empty history is scored as an average
        user.

        Args:
            histories: Items are rows that the model was fitted on.

        Raises:
            StoreError: If the model was neither fitted nor loaded.
        """
        ...
