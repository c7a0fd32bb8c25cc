"""What trained networks leave on disk: parameters, and frozen projections of the vectors they read."""

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

import numpy as np
import torch

from featurestore.errors import StoreError
from recommender.base import ArrayGroups
from recommender.data import FloatArray
from recommender.features import EntityFeatures, NodeFeatures
from recommender.text.layer_zero import NodeVectors
from recommender.text.projection import Projection, fit_projection

_GROUPS: Final = {"users": "user_pca", "items": "pca"}
_PARAMETER: Final = "parameter."


class HasParameters(Protocol):
    """A `torch.nn.Module`, or a network around one."""

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """All weights that learn."""
        ...


def parameter_arrays(network: HasParameters) -> dict[str, FloatArray]:
    """Copies of all parameters: ``parameter.NAME``, float32, in the CPU's memory."""
    return {
        f"{_PARAMETER}{name}": np.array(weight.detach().cpu().numpy(), np.float32)
        for name, weight in network.named_parameters()
    }


def load_parameters(network: HasParameters, arrays: Mapping[str, FloatArray], *, part: str = "") -> None:
    """Copy what `parameter_arrays` gave into a network, or into a part of it such as ``encoder.``."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.copy_(torch.from_numpy(arrays[f"{_PARAMETER}{part}{name}"]))


def fit_projections(features: NodeFeatures | None, max_components: int) -> dict[str, Projection]:
    """A frozen PCA of each side, ``users`` and ``items``, that has vectors."""
    given: dict[str, EntityFeatures | None] = {side: getattr(features, side, None) for side in _GROUPS}
    return {side: fit_projection(f, max_components) for side, f in given.items() if f is not None}


def projection_groups(projections: Mapping[str, Projection]) -> ArrayGroups:
    """Projections as saved arrays: ``pca`` of items, ``user_pca`` of users."""
    return {_GROUPS[side]: projection.arrays() for side, projection in projections.items()}


def saved_projections(groups: ArrayGroups, name: str) -> dict[str, Projection]:
    """The projections that `projection_groups` took apart.

    Args:
        groups: A fitted model's arrays.
        name: The model's name, for the message.

    Raises:
        StoreError: If there are none.
    """
    found = {side: Projection(**groups[group]) for side, group in _GROUPS.items() if group in groups}
    if not found:
        raise StoreError(
            f"this {name} was fitted without features.", hint="Train it with --features FEATURE."
        )
    return found


def project(projections: Mapping[str, Projection], features: NodeFeatures | None) -> NodeVectors:
    """Ẽ of each side that has a projection.

    Raises:
        StoreError: If a side has a projection and no vectors.
    """
    vectors: dict[str, FloatArray | None] = dict.fromkeys(_GROUPS)
    for side, projection in projections.items():
        given: EntityFeatures | None = getattr(features, side, None)
        if given is None:
            raise StoreError(f"the model was fitted with vectors of {side}, and none are given.")
        vectors[side] = projection.apply(given)
    return vectors["users"], vectors["items"]
