"""A text vector z for every node, also for those that have no text.

RecMind (arXiv 2509.06286), eq. 4, Ẽ a node's frozen vector (`recommender.text.projection`), d̃ its degree:

    z_v = W Ẽ_v / d'                               W of users' texts, or of items'
    z_v = m_v + MLP([d̃_v ‖ m_v])                   without a text; m_v mean of z over neighbours
    d̃_v = ln(1 + d_v) / ln(1 + d_max)

Our reconstruction: d', without which a step of Adam moves z a hundred times as far as an ID embedding, and
texts are learned by heart (see `recommender.text.layer_zero`); a fallback that begins at the mean (in one
trial each with a constant gate of 1, where colakg-lastfm's users had no texts, NDCG@20 of its validation part
was .2200, and .2016 without the mean); one MLP with one hidden layer for both sides. Categories, which the
paper's fallback may read besides, are not in the training data.

Neighbours are those that have a text. If the other side has none at all, a neighbour stands for the texts of
its own neighbours: an item's z comes from items that its users had, a user's from users of its items. d_max
is that of the training data and saved with the weights.

Letters: U users, I items, N nodes = users, then items; n nodes of one side; d' dimensions of Ẽ; d
embedding_dim.
"""

import numpy as np
import torch
from torch.nn.functional import linear, relu

from featurestore.errors import UsageError
from recommender.data import FloatArray, TrainingData
from recommender.graph.neighbour_means import NeighbourMeans
from recommender.text.layer_zero import NodeVectors
from recommender.training.embedding_config import EmbeddingConfig


class TextVectors(torch.nn.Module):
    """z of all nodes, with gradients.

    Args:
        config: Gives d and s: z begins as small as ID embeddings.
        data: Its training pairs are the graph.
        vectors: Ẽ of users and of items, zero rows where a node has no text; at least one side has some.
        generator: Of the first weights.

    Attributes:
        has_text: (U,) and (I,) bool.

    Raises:
        UsageError: If no side has vectors.
    """

    _log_counts: torch.Tensor

    def __init__(
        self, config: EmbeddingConfig, data: TrainingData, vectors: NodeVectors, generator: torch.Generator
    ) -> None:
        super().__init__()
        if vectors[0] is None and vectors[1] is None:
            raise UsageError(
                "this model reads vectors of texts, and none were given.",
                hint="Pass --features FEATURE, --user-features FEATURE, or both.",
            )
        dim, sizes = config.embedding_dim, (data.num_users, data.num_items)
        self._sizes = sizes
        self._neighbours = NeighbourMeans(data)
        self.users, self.items = (
            _Side(given, size, config, generator) for given, size in zip(vectors, sizes, strict=True)
        )
        counts = torch.from_numpy(np.concatenate([data.seen.degrees, data.item_degrees])).float()
        self.register_buffer("_log_counts", torch.log1p(counts), persistent=False)
        self.largest_degree = torch.nn.Parameter(counts.max().unsqueeze(0), requires_grad=False)
        scale = torch.full((1 + dim,), (2 * dim) ** 0.5)
        scale[0] *= config.init_std  # d̃ is larger than z, and shall not drown it
        inner = torch.randn(dim, 1 + dim, generator=generator) * scale
        outer = torch.randn(dim, dim, generator=generator) * config.init_std  # z begins near the mean
        self.scaled_inner, self.scaled_outer = torch.nn.Parameter(inner), torch.nn.Parameter(outer)
        self.inner_bias = torch.nn.Parameter(torch.zeros(dim))
        self.outer_bias = torch.nn.Parameter(torch.zeros(dim))
        for number, side in enumerate(self._both):
            side.context = None if side.known.all() else self._context(number)

    @property
    def has_text(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U,) and (I,) bool."""
        return self.users.known, self.items.known

    def degrees(self) -> torch.Tensor:
        """(N,) float32 d̃; above 1 where a degree has outgrown all that were trained on."""
        return self._log_counts / torch.log1p(self.largest_degree)

    def table(self, hidden: torch.Tensor | None = None) -> torch.Tensor:
        """(N, d) z of all nodes.

        Args:
            hidden: (N,) bool: nodes whose text is not looked at, neither for them nor for others; None: none.
        """
        known = list(self.has_text)
        if hidden is not None:
            known = [own & ~hides for own, hides in zip(known, hidden.split(self._sizes), strict=True)]
        projected = [side.project(side.text) for side in self._both]
        degrees = self.degrees().split(self._sizes)
        blocks: list[torch.Tensor] = []
        for side, own in enumerate(projected):
            rows = (~known[side]).nonzero().squeeze(1)
            if own is None:
                blocks.append(self._fallback(degrees[side], self._means(side, projected, known)))
            elif len(rows):
                means = self._means(side, projected, known).index_select(0, rows)
                blocks.append(own.index_copy(0, rows, self._fallback(degrees[side][rows], means)))
            else:
                blocks.append(own)
        return torch.cat(blocks)

    def forward(self, number: int, places: torch.Tensor) -> torch.Tensor:
        """(m, d) z of some nodes of one side, equal to those of `table`, without a look at other nodes.

        Args:
            number: 0 for users, 1 for items.
            places: (m,) int64 rows of that side.
        """
        side = self._both[number]
        own = side.project(None if side.text is None else side.text[places])
        if side.context is None:
            assert own is not None
            return own
        means = self._both[self._source(number)].project(side.context[places])
        assert means is not None
        other = self._fallback(self.degrees().split(self._sizes)[number][places], means)
        return other if own is None else torch.where(side.known[places].unsqueeze(1), own, other)

    def frozen(self, number: int) -> torch.Tensor:
        """(n, d') vectors of one side in one space, not trained: Ẽ; means of neighbours' Ẽ without texts."""
        side = self._both[number]
        found = side.context if side.text is None else side.text
        assert found is not None
        return found

    @property
    def _both(self) -> tuple["_Side", "_Side"]:
        return self.users, self.items

    def _context(self, number: int) -> torch.Tensor:
        """(n, d') means of Ẽ over neighbours: W of a mean is the mean of z."""
        return self._means(number, [side.text for side in self._both], list(self.has_text))

    def _means(
        self, number: int, vectors: list[torch.Tensor | None], known: list[torch.Tensor]
    ) -> torch.Tensor:
        """Means of the vectors of `_source` around all nodes of one side."""
        source = self._source(number)
        given = vectors[source]
        assert given is not None
        if source != number:
            return self._neighbours(number, given, known[source])
        between = self._neighbours(1 - number, given, known[number])
        return self._neighbours(number, between, self._neighbours.reached(1 - number, known[number]))

    def _source(self, number: int) -> int:
        """The side whose texts describe a node of a side that has none."""
        return number if self._both[1 - number].text is None else 1 - number

    def _fallback(self, degrees: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        """(m, d) of (m,) d̃ and (m, d) means."""
        dim = means.shape[1]
        given = torch.cat([degrees.unsqueeze(1), means], dim=1)  # (m, 1 + d)
        inner = relu(linear(given, self.scaled_inner / dim, self.inner_bias))  # (m, d)
        return means + linear(inner, self.scaled_outer / dim, self.outer_bias)


class _Side(torch.nn.Module):
    """Texts of the nodes of one side, and W."""

    text: torch.Tensor | None  # (n, d') Ẽ / d'
    known: torch.Tensor  # (n,) bool
    context: torch.Tensor | None  # (n, d') means of Ẽ / d' over neighbours

    def __init__(
        self, vectors: FloatArray | None, size: int, config: EmbeddingConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        text = None if vectors is None else scaled_text(torch.from_numpy(vectors))
        known = torch.zeros(size, dtype=torch.bool) if text is None else text.any(dim=1)
        self.register_buffer("text", text, persistent=False)
        self.register_buffer("known", known, persistent=False)
        self.register_buffer("context", None, persistent=False)
        weight = None
        if text is not None:
            drawn = torch.randn(config.embedding_dim, text.shape[1], generator=generator)
            weight = torch.nn.Parameter(drawn * config.init_std * text.shape[1] ** 0.5)
        self.scaled = weight  # (d, d') W

    def project(self, vectors: torch.Tensor | None) -> torch.Tensor | None:
        """(m, d) W of (m, d') vectors of this side's space; None if the side has no texts."""
        return None if vectors is None or self.scaled is None else linear(vectors, self.scaled)


def scaled_text(vectors: torch.Tensor) -> torch.Tensor:
    """Ẽ / d' of (n, d') Ẽ: lengths around 1 / √d'."""
    return vectors / vectors.shape[1]
