"""Random cuts of the training graph: SGL's three augmentations.

Wu et al., "Self-supervised Graph Learning for Recommendation", SIGIR 2021, eq. 6-8, with drop rate p:

    node_drop      every node is dropped with probability p, and its edges with it
    edge_drop      every edge is dropped with probability p
    random_walk    edge_drop, drawn anew for every layer

Â of a cut is normalised by the degrees that are left. A dropped node keeps its own E(0).
"""

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from recommender.data import TrainingData
from recommender.graph.propagation import Adjacency, normalized_adjacency

BoolArray: TypeAlias = npt.NDArray[np.bool_]
Augmentation: TypeAlias = Literal["edge_drop", "node_drop", "random_walk"]


def cut_graphs(
    data: TrainingData,
    augmentation: Augmentation,
    *,
    drop_rate: float,
    num_layers: int,
    generator: np.random.Generator,
) -> list[Adjacency]:
    """One view: Â(1) to Â(L), on the CPU.

    Args:
        data: Its training pairs are the edges.
        augmentation: How they are cut.
        drop_rate: p in [0, 1).
        num_layers: L.
        generator: Source of the draws.
    """
    if augmentation == "random_walk":
        return [_graph(data, _kept_edges(data, drop_rate, generator)) for _ in range(num_layers)]
    keep = _kept_edges if augmentation == "edge_drop" else _edges_of_kept_nodes
    return [_graph(data, keep(data, drop_rate, generator))] * num_layers


def _kept_edges(data: TrainingData, drop_rate: float, generator: np.random.Generator) -> BoolArray:
    return generator.random(len(data.train_users)) >= drop_rate


def _edges_of_kept_nodes(data: TrainingData, drop_rate: float, generator: np.random.Generator) -> BoolArray:
    users = generator.random(data.num_users) >= drop_rate
    items = generator.random(data.num_items) >= drop_rate
    return users[data.train_users] & items[data.train_items]


def _graph(data: TrainingData, kept: BoolArray) -> Adjacency:
    return normalized_adjacency(
        data.train_users[kept], data.train_items[kept], num_users=data.num_users, num_items=data.num_items
    )
