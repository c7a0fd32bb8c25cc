"""What runs of the generative form read: a copy of a data set's project, whose items have semantic ids."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from featurestore.errors import SetupError
from featurestore.reader import Release, open_store
from recommender.data import (
    HeldOut,
    IntArray,
    TrainingData,
    load_histories,
    load_training_data,
    training_data,
)
from recommender.evaluation.tasks import load_test_data
from recommender.features import NodeFeatures, entity_features
from recommender.generative.config import GenerativeConfig
from recommender.generative.experiment import item_digits
from recommender.generative.tokens import digits_of, sequential_numbers
from recommender.interests.user_graph import user_vectors
from scripts.study.datasets import ROOT, Dataset
from scripts.study.generative_runs import Profiles
from scripts.study.project_copy import copied_project

PROJECTS: Final = ROOT / ".cache" / "generative"
PARTS: Final = ("train", "valid", "test")
_STEPS: Final = ("semantic-ids --feature {feature}", "publish")


def prepared(dataset: Dataset, data: Path) -> Path:
    """The copy of this data's project; made if there is none.

    Args:
        dataset: The data set.
        data: Folder of the evaluation data.

    Raises:
        InputError: If the data set's files are not there.
        SetupError: If a command fails.
    """
    steps = [step.format(feature=dataset.item_feature).split() for step in _STEPS]
    return copied_project(PROJECTS, dataset, data, steps if dataset.item_feature else ())


@dataclass(frozen=True)
class World:
    """A data set's release, and what is read of it when it is needed.

    Attributes:
        dataset: The data set.
        data: Digest of its data.
        release: With semantic ids of its items, if they have vectors.
        project: Folder of the project that holds the release.
    """

    dataset: Dataset
    data: str
    release: Release
    project: Path

    @classmethod
    def open(cls, dataset: Dataset, data: str, project: Path) -> "World":
        """The release of a project."""
        return cls(dataset, data, open_store(str(project / "store")).release("production"), project)

    @cached_property
    def training(self) -> TrainingData:
        """Training and validation events."""
        return load_training_data(self.release)

    @cached_property
    def test(self) -> HeldOut:
        """Test items; read once training is over."""
        return load_test_data(self.release)

    def item_digits(self, config: GenerativeConfig, seed: int) -> IntArray:
        """(I, w) names of items. ``sequential`` ones read whole histories: that is the leak.

        Raises:
            SetupError: If semantic ids are asked for and absent.
        """
        feature = self.dataset.item_feature
        if config.tokens == "sequential":
            whole = load_histories(self.release, *PARTS)
            return digits_of(sequential_numbers(whole, self.training.num_items), config.num_digits)
        if config.tokens == "codes" and feature is None:
            raise SetupError(
                f"{self.dataset.name} has no vectors of items, of which semantic ids are made.",
                hint="Name items by tokens=shuffled.",
            )
        return item_digits(config, self.release, feature, seed)

    def features(self, profiles: Profiles) -> NodeFeatures | None:
        """Vectors of items; with ``whole``, users' means over all that they ever had: that is the leak."""
        if self.dataset.item_feature is None:
            return None
        items = NodeFeatures(entity_features(self.release, "item", self.dataset.item_feature))
        if profiles == "train":
            return items
        whole = load_histories(self.release, *PARTS)
        users = np.repeat(np.arange(len(whole)), whole.lengths)
        nothing = np.empty(0, np.int64)
        events = training_data(
            num_users=len(whole),
            num_items=self.training.num_items,
            train=(users, whole.items),
            valid=(nothing, nothing),
        )
        return NodeFeatures(items.items, user_vectors(events, items))
