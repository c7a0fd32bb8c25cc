"""A `Recommender` around a network of ID embeddings and texts that is trained in two phases.

It is to `recommender.text.alignment_phases` what `recommender.vector_model` is to one loss, and
answers three questions more: what a new item's vector is, what users' vectors become, and how far texts
enter.

    Model = partial(TwoPhaseModel, "recmind", Network)
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch

from featurestore.errors import InputError, StoreError
from featurestore.ids import RowArray
from featurestore.progress import Progress
from recommender.base import ArrayGroups, FitReport
from recommender.checkpoint import CheckpointFile
from recommender.data import FloatArray, HeldOut, TrainingData
from recommender.features import EntityFeatures, NodeFeatures
from recommender.model_arrays import (
    fit_projections,
    load_parameters,
    parameter_arrays,
    project,
    projection_groups,
    saved_projections,
)
from recommender.text.aligned_sides import AlignedSides
from recommender.text.alignment_phases import AlignmentPhase, JointPhase, Parts, PhasedConfig, TextNetwork
from recommender.text.layer_zero import NodeVectors
from recommender.text.node_texts import scaled_text
from recommender.training.config import training_device
from recommender.training.rare_negatives import training_pairs
from recommender.training.trainer import average_cold_users, score_users, train


class GatedNetwork(TextNetwork, Protocol):
    """A `torch.nn.Module` that `TwoPhaseModel` trains."""

    def to(self, device: torch.device) -> "GatedNetwork":
        """Move all parameters and buffers."""
        ...

    def gates(self) -> torch.Tensor:
        """(L, N) how much of every node's own vector enters each layer."""
        ...


NetworkType: TypeAlias = Callable[[Any, TrainingData, NodeVectors, int], GatedNetwork]
"""(config, data, projected vectors, seed) → a network on the CPU, with its first weights."""


class TwoPhaseModel:
    """See `recommender.base.Recommender`. U users, I items, N = U + I, d embedding_dim, L num_layers.

    Args:
        name: The model's file name.
        network_type: Its network.
        config: Its settings.
    """

    def __init__(self, name: str, network_type: NetworkType, config: PhasedConfig) -> None:
        self.name = name
        self.config = config
        self._network_type = network_type
        self._groups: ArrayGroups = {}

    def fit(
        self,
        data: TrainingData,
        *,
        features: NodeFeatures | None,
        seed: int,
        progress: Progress,
        checkpoint: CheckpointFile | None = None,
    ) -> FitReport:
        """See `Recommender.fit`; its epochs are those of phase 2.

        A checkpoint is of phase 2, too, and holds what phase 1 left; stopped before, training begins anew.

        Raises:
            UsageError: If there are no features.
        """
        projections = fit_projections(features, self.config.pca_components)
        vectors = project(projections, features)
        device = training_device(self.config)
        network = self._network_type(self.config, data, vectors, seed).to(device)
        sides = AlignedSides(self.config, network.text).to(device)
        parts = Parts(self.config, network, sides, training_pairs(self.config, data))
        seconds = 0.0
        if self.config.alignment_epochs and (checkpoint is None or not checkpoint.path.exists()):
            seconds = _align(AlignmentPhase(parts), data, self.config, seed, progress)
        report = train(
            JointPhase(parts), data, self.config, seed=seed, progress=progress, checkpoint=checkpoint
        )
        self._groups = _weights(network, data) | projection_groups(projections)
        return replace(report, seconds=report.seconds + seconds)

    def score(self, users: RowArray) -> FloatArray:
        """See `Recommender.score`."""
        user_vectors, item_vectors = self.vectors()
        return score_users(user_vectors, item_vectors, users)

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) float32 final vectors.

        Raises:
            StoreError: If the model was neither fitted nor loaded.
        """
        weights = self._fitted()["weights"]
        return torch.from_numpy(weights["user_vectors"]), torch.from_numpy(weights["item_vectors"])

    def gates(self) -> FloatArray:
        """(L, N) float32: how much of its own vector each node, users first, keeps in every layer.

        Raises:
            StoreError: If the model was neither fitted nor loaded.
        """
        return self._fitted()["weights"]["gates"].copy()

    def vectors_of_new_items(self, vectors: FloatArray) -> FloatArray:
        """Final vectors of items that the model never saw, from their texts; nothing is trained.

        Such an item has neither an ID nor edges: z^G is zero, and h = (1 - alpha) z^L is left.

        Args:
            vectors: (n, d_text) float32 of the embedding space of the items that the model was fitted on.

        Returns:
            (n, d) float32, whose inner products with users' vectors compare with all other scores. An item
            that many had has more of them by its z^G.

        Raises:
            StoreError: If the model was neither fitted nor loaded, or was fitted without vectors of items.
            InputError: If the vectors have other dimensions, or are not finite.
        """
        groups = self._fitted()
        projection = saved_projections(groups, self.name).get("items")
        if projection is None:
            raise StoreError(
                f"this {self.name} was fitted without vectors of items; a new item's text tells it nothing.",
                hint="Train it with --features FEATURE.",
            )
        expected = len(projection.mean)
        if vectors.ndim != 2 or vectors.shape[1] != expected or not np.isfinite(vectors).all():
            raise InputError(
                f"vectors of new items have shape {vectors.shape}; finite ones of shape (n, {expected}) were "
                "expected.",
                hint="Encode the texts as the release's item vectors were.",
            )
        projected = projection.apply(EntityFeatures(vectors, np.ones(len(vectors), np.bool_)))
        given = scaled_text(torch.from_numpy(projected)).numpy()  # (n, d')
        weight = groups["weights"]["parameter.text.items.scaled"]  # (d, d') W
        return ((1 - self.config.alpha) * (given @ weight.T)).astype(np.float32)

    def vectors_of_users(self, data: TrainingData, features: NodeFeatures, users: RowArray) -> FloatArray:
        """Final vectors of users whose histories have changed, from the weights as they are.

        Cost: one propagation over the whole graph, however few the users.

        Args:
            data: Its training pairs are the histories as they are now; see `with_features`.
            features: See `with_features`.
            users: (n,) int64.

        Returns:
            (n, d) float32. Items' vectors have changed with the graph; see `with_features` for all of them.

        Raises:
            StoreError: If the model was neither fitted nor loaded.
        """
        return self.with_features(data, features).vectors()[0].numpy()[users]

    def arrays(self) -> ArrayGroups:
        """Final vectors, gates and parameters as ``weights``; frozen projections as ``pca``, ``user_pca``."""
        return self._fitted()

    def load_arrays(self, groups: ArrayGroups) -> None:
        """See `Recommender.load_arrays`."""
        self._groups = groups

    def with_features(self, data: TrainingData, features: NodeFeatures) -> "TwoPhaseModel":
        """See `recommender.base.ReadsFeatures`."""
        groups = self._fitted()
        projections = saved_projections(groups, self.name)
        other = TwoPhaseModel(self.name, self._network_type, self.config)
        network = self._network_type(self.config, data, project(projections, features), 0)
        load_parameters(network, groups["weights"])
        other._groups = _weights(network, data) | projection_groups(projections)
        return other

    def _fitted(self) -> ArrayGroups:
        if not self._groups:
            raise StoreError(f"this {self.name} is empty.", hint="Call fit or load_arrays first.")
        return self._groups


def _align(
    phase: AlignmentPhase, data: TrainingData, config: PhasedConfig, seed: int, progress: Progress
) -> float:
    """Phase 1 to its end, without validation; returns its seconds.

    Raises:
        KeyboardInterrupt: If it was stopped.
    """
    nobody = np.zeros(0, np.int64)
    unjudged = replace(data, valid=HeldOut(nobody, nobody, data.seen, data.num_items))
    epochs = config.alignment_epochs
    settings = config.model_copy(
        update={
            "epochs": epochs,
            "eval_every": epochs,
            "schedule": "constant",
            "warmup_epochs": min(config.warmup_epochs, epochs),
        }
    )
    report = train(phase, unjudged, settings, seed=seed, progress=progress)
    if report.interrupted:
        raise KeyboardInterrupt
    return report.seconds


def _weights(network: GatedNetwork, data: TrainingData) -> ArrayGroups:
    users, items = (vectors.cpu() for vectors in network.score_vectors())
    final = {
        "user_vectors": average_cold_users(users, data).numpy(),
        "item_vectors": items.numpy(),
        "gates": network.gates().cpu().numpy(),
    }
    return {"weights": parameter_arrays(network) | final}
