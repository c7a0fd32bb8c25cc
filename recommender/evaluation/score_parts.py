"""The two terms of ISRF's direct scores (arXiv 2603.13934, eq. 4 and 7), and whose rows the second one sums.

    score(u, i) = <e_u, e_i> + w Σ_v W_uv <h_v, e_i>,   W = 1/(L_u + 1) Σ_l Ŝ^l,   h_v: row v of H(0)

Letters: U users, I items, d embedding_dim, n users of a call.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from featurestore.errors import UsageError
from recommender.base import Recommender
from recommender.data import FloatArray, IntArray
from recommender.graph.sparse import SparseRows
from recommender.interests.groups import GroupInterests, normalized_graph
from recommender.interests.model import GRAPH, GroupModel
from recommender.model_arrays import load_parameters
from recommender.training.trainer import score_users

_PART: Final = "interests.groups."


@dataclass(frozen=True)
class ScoreParts:
    """A fitted model's arrays.

    Attributes:
        individual: (U, d) e.
        groups: (U, d) w h_v, rows of w H(0).
        items: (I, d) e.
        backward: (U, U) Ŝᵀ.
        num_layers: L_u.
    """

    individual: torch.Tensor
    groups: FloatArray
    items: torch.Tensor
    backward: SparseRows
    num_layers: int

    def score(self, users: IntArray) -> FloatArray:
        """(n, I) <e_u, e_i>."""
        return score_users(self.individual, self.items, users)

    def weights(self, user: int) -> FloatArray:
        """(U,) row u of W."""
        row = np.zeros((len(self.backward), 1), np.float32)
        row[user] = 1.0
        total = row.copy()
        for _ in range(self.num_layers):
            row = self.backward.times_dense(row)
            total += row
        return total[:, 0] / np.float32(self.num_layers + 1)


def score_parts(model: Recommender) -> ScoreParts:
    """Take a model apart.

    Args:
        model: A fitted `isrf` of the direct task.

    Raises:
        UsageError: If the model has no group interests in its scores, or no graph.
    """
    if not isinstance(model, GroupModel):
        raise UsageError(
            f"{model.name} has no interests of groups to take apart.",
            hint="Train isrf with task=direct, the default.",
        )
    arrays, config = model.arrays(), model.config
    neighbors = arrays[GRAPH]["neighbors"].astype(np.int64)
    if not neighbors.shape[1] or not config.group_layers or not config.group_weight:
        raise UsageError(
            f"no neighbour enters the scores of this {model.name}: user_graph={config.user_graph}, "
            f"group_layers={config.group_layers}, group_weight={config.group_weight:g}.",
            hint="Train it with a graph of users, a layer over it, and a group_weight above 0.",
        )
    groups = GroupInterests(
        neighbors,
        config.group_layers,
        embedding_dim=config.embedding_dim,
        std=config.init_std,
        generator=torch.Generator(),
    )
    load_parameters(groups, arrays["weights"], part=_PART)
    users, items = model.vectors()
    return ScoreParts(
        individual=users - config.group_weight * groups.everything(),
        groups=(config.group_weight * groups.own.detach()).numpy(),
        items=items,
        backward=normalized_graph(neighbors).transposed(),
        num_layers=config.group_layers,
    )
