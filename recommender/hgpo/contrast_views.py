"""What a node is contrasted with: itself in another cut of the graph, or itself some layers on.

LGHRec (arXiv 2505.12396) contrasts two edge-dropped views; comments of its released code write the pair as
layers 0 and k of one node. E(0) are a model's layer-0 embeddings, Â'(l) and Â''(l) two cuts of its graph:

    second_view     z' = mean of E(0) to E(L) over Â',  z'' likewise over Â''        SGL's pair
    layer           z' = E(0),  z'' = E(k) over the whole graph, k even              NCL's pair

Ours: the views are LightGCN's propagation whatever the model's own is, so that a model that propagates
otherwise, or not at all, is contrasted in the same way.
"""

from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from recommender.data import TrainingData
from recommender.graph.layer_rows import Reading, mean_of_layers, only_layer, read_layers
from recommender.graph.nodes import training_graph
from recommender.graph.propagation import Adjacency
from recommender.graph.views import Augmentation, cut_graphs
from recommender.training.embedding_config import EmbeddingConfig


class ViewConfig(EmbeddingConfig):
    """Settings of the views."""

    positive: Literal["second_view", "layer"] = Field(
        default="second_view", description="What a node agrees with: its second view, or its layer k."
    )
    positive_layer: int = Field(default=2, ge=2, description="Even layer k of positive=layer.")
    view_layers: int = Field(default=3, ge=1, description="Propagation layers of the two views.")
    augmentation: Augmentation = Field(default="edge_drop", description="How views cut the graph.")
    drop_rate: float = Field(default=0.1, ge=0, lt=1, description="Share of edges or nodes left out.")

    @model_validator(mode="after")
    def _layer_is_even(self) -> "ViewConfig":
        if self.positive_layer % 2:
            raise ValueError(
                f"positive_layer={self.positive_layer} describes nodes of the other side; take an even one"
            )
        return self


class ContrastViews:
    """Both views; N nodes, d embedding_dim.

    Args:
        config: Settings.
        data: Its training pairs are the graph.
    """

    def __init__(self, config: ViewConfig, data: TrainingData) -> None:
        self._config = config
        self._data = data
        self._num_layers = config.view_layers if config.positive == "second_view" else config.positive_layer
        self._graphs = [[training_graph(data)] * self._num_layers] * 2  # until an epoch cuts them

    def begin_epoch(self, generator: np.random.Generator, device: torch.device) -> None:
        """Cut both graphs anew; nothing to do for layers of the whole graph."""
        if self._config.positive == "second_view":
            self._graphs = [self._cut(generator) for _ in range(2)]
        self._graphs = [[graph.to(device) for graph in graphs] for graphs in self._graphs]

    def read(
        self, layer_zero: torch.Tensor, rows: torch.Tensor, other_rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Views z' of some nodes and z'' of others.

        Args:
            layer_zero: (N, d) float32 E(0).
            rows: (m,) int64 node rows.
            other_rows: (n,) int64 node rows.

        Returns:
            (m, d) and (n, d), with gradients. Cost: one propagation each way per cut.
        """
        if self._config.positive == "second_view":
            sums = (mean_of_layers(self._num_layers),)
            return (
                read_layers(layer_zero, self._graphs[0], [Reading(rows, sums)])[0],
                read_layers(layer_zero, self._graphs[1], [Reading(other_rows, sums)])[0],
            )
        sums = only_layer(0, self._num_layers), only_layer(self._num_layers, self._num_layers)
        reading = Reading(torch.cat([rows, other_rows]), sums)
        near, far = read_layers(layer_zero, self._graphs[0], [reading])
        return near[: len(rows)], far[len(rows) :]

    def _cut(self, generator: np.random.Generator) -> list[Adjacency]:
        return cut_graphs(
            self._data,
            self._config.augmentation,
            drop_rate=self._config.drop_rate,
            num_layers=self._num_layers,
            generator=generator,
        )
