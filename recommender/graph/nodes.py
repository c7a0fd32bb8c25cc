"""Users and items as nodes of one graph: users stand at rows 0 to U - 1, items from U on."""

import numpy as np
import torch

from recommender.data import TrainingData
from recommender.graph.propagation import Adjacency, normalized_adjacency
from recommender.training.sampling import PairBatch


def training_graph(data: TrainingData) -> Adjacency:
    """Â of the training pairs: no other events are in it."""
    return normalized_adjacency(
        data.train_users, data.train_items, num_users=data.num_users, num_items=data.num_items
    )


def batch_rows(batch: PairBatch, num_users: int) -> torch.Tensor:
    """(b · (2 + M),) int64 node rows: users, positives, then the negatives of each pair in turn."""
    items = np.concatenate([batch.positives, batch.negatives.ravel()]) + num_users
    return torch.from_numpy(np.concatenate([batch.users, items]))


def batch_nodes(batch: PairBatch, num_users: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Node rows of the batch's users and of its positives, each once, ascending; for contrastive losses."""
    users, items = np.unique(batch.users), np.unique(batch.positives)
    return torch.from_numpy(users), torch.from_numpy(items + num_users)
