"""Whole-word embeddings: one vector for all tokens that name the same user or item.

    positional    w_k = table[j] at tokens of the j-th word of the line, table[0] at others     P5, POD
    graph         w_k = E[u] at a user's tokens, E[U + i] at an item's, e_0 at others           ISRF, eq. 1, 5
    none          nothing

E is LightGCN over users and items (eq. 3-4; `recommender.interests.first_layer`,
`recommender.graph.propagation`), e_0 is a random vector that is in no graph and never learns: N(0, s²)/(L +
1). Ours: user words are E[u] + group_weight H[u], H of eq. 7 (`recommender.interests.groups`), for
in the paper's equations H enters no input. The authors' code has positional words in the sequential task,
contrary to the paper's text; here the setting says which.

Letters: B lines, T tokens, U users, I items, N = U + I nodes, d dimensions.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from recommender.data import IntArray
from recommender.generative.config import GenerativeConfig
from recommender.generative.inputs import Inputs
from recommender.generative.sources import Sources
from recommender.graph.nodes import training_graph
from recommender.graph.propagation import Propagation, layer_mean
from recommender.interests.first_layer import InterestLayer
from recommender.interests.groups import GroupInterests
from recommender.interests.refinement import means_of


@dataclass(frozen=True, slots=True)
class ReadWords:
    """Whole-word embeddings of some lines, with gradients, and what eq. 8 and 9 compare.

    Attributes:
        tokens: (B, T, d); None without words.
        users: (B, d) e_u of the lines' users.
        sequences: (B, d) z_u: means of E over the items of each line.
        groups: (B, d) h_u; None without groups.
    """

    tokens: torch.Tensor | None
    users: torch.Tensor | None = None
    sequences: torch.Tensor | None = None
    groups: torch.Tensor | None = None


class Words(Protocol):
    """A `torch.nn.Module` that has whole-word embeddings."""

    def __call__(self, inputs: Inputs) -> ReadWords:
        """Those of some lines."""
        ...

    def table(self) -> torch.Tensor | None:
        """What `lookup` reads when nothing is learned any more; without gradients."""
        ...


class NoWords(torch.nn.Module):
    """Tokens alone."""

    def forward(self, inputs: Inputs) -> ReadWords:
        """Nothing."""
        del inputs
        return ReadWords(None)

    def table(self) -> None:
        """Nothing."""
        return


class PositionWords(torch.nn.Module):
    """P5's numbered words.

    Args:
        num_words: Words of a line at most.
        width: d.
        std: Of the first vectors.
        generator: Of them.
    """

    def __init__(self, num_words: int, width: int, std: float, generator: torch.Generator) -> None:
        super().__init__()
        self.vectors = torch.nn.Parameter(torch.randn(num_words + 1, width, generator=generator) * std)

    def forward(self, inputs: Inputs) -> ReadWords:
        """See the module's head."""
        return ReadWords(lookup("positional", self.vectors, inputs))

    def table(self) -> torch.Tensor:
        """(words + 1, d)."""
        return self.vectors.detach()


class GraphWords(torch.nn.Module):
    """E, and H where there are groups.

    Args:
        config: Settings.
        width: d.
        sources: The graph, texts of items, and who users resemble.
        generator: Of the first vectors.
    """

    outside: torch.Tensor

    def __init__(
        self,
        config: GenerativeConfig,
        width: int,
        sources: Sources,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        data = sources.data
        self.num_users = data.num_users
        self.group_weight = config.group_weight
        self.layer_zero = InterestLayer(
            config.layer_zero(width),
            num_users=data.num_users,
            num_items=data.num_items,
            item_vectors=sources.item_vectors,
            generator=generator,
        )
        self.propagation = Propagation(training_graph(data), config.num_layers)
        outside = torch.randn(width, generator=generator) * config.init_std / (config.num_layers + 1)
        self.register_buffer("outside", outside)  # e_0
        self.groups = None
        if sources.neighbors is not None:
            self.groups = GroupInterests(
                sources.neighbors,
                config.group_layers,
                embedding_dim=width,
                std=config.init_std,
                generator=generator,
            )

    def forward(self, inputs: Inputs) -> ReadWords:
        """Eq. 1 and 5, with gradients of E and H."""
        nodes, places = np.unique(inputs.nodes, return_inverse=True)  # the first is -1: no word
        rows = torch.from_numpy(nodes[1:]).to(self.outside.device)
        read, _ = self.propagation.rows(self.layer_zero(), rows)  # (m, d) E
        users = read.index_select(0, self._find(nodes, inputs.users))  # (B, d)
        sequences = self._sequences(read, nodes, inputs)
        groups = None if self.groups is None else self.groups(inputs.users)[0]  # (B, d)
        words = read
        if groups is not None and self.group_weight:
            asked, first = np.unique(inputs.users, return_index=True)
            lines = torch.from_numpy(first).to(read.device)
            added = self.group_weight * groups.index_select(0, lines)
            words = read.index_add(0, self._find(nodes, asked), added)
        known = torch.cat([self.outside.unsqueeze(0), words])
        chosen = torch.from_numpy(places.ravel()).to(read.device)
        tokens = known.index_select(0, chosen).view(*inputs.nodes.shape, -1)  # (B, T, d)
        return ReadWords(tokens, users, sequences, groups)

    @torch.no_grad()
    def table(self) -> torch.Tensor:
        """(1 + N, d): e_0, users' words, items' words."""
        final = layer_mean(self.layer_zero(), self.propagation.adjacency, self.propagation.num_layers)
        if self.groups is not None and self.group_weight:
            final[: self.num_users] += self.group_weight * self.groups.everything()
        return torch.cat([self.outside.unsqueeze(0), final])

    def _find(self, nodes: IntArray, wanted: IntArray) -> torch.Tensor:
        return torch.from_numpy(np.searchsorted(nodes, wanted) - 1).to(self.outside.device)

    def _sequences(self, read: torch.Tensor, nodes: IntArray, inputs: Inputs) -> torch.Tensor:
        lines, columns = np.nonzero(inputs.items >= 0)
        rows = self._find(nodes, self.num_users + inputs.items[lines, columns])
        line_of = torch.from_numpy(lines).to(read.device)
        return means_of(read.index_select(0, rows), line_of, len(inputs.users))


def lookup(kind: str, table: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    """(B, T, d) words out of what `Words.table` gave."""
    places = inputs.places if kind == "positional" else inputs.nodes + 1
    rows = torch.from_numpy(places.ravel()).to(table.device)
    return table.index_select(0, rows).view(*places.shape, -1)


def new_words(
    config: GenerativeConfig,
    width: int,
    sources: Sources,
    seed: int,
) -> NoWords | PositionWords | GraphWords:
    """What the settings ask for; see `GraphWords` for the arguments."""
    generator = torch.Generator().manual_seed(seed)
    match config.word_embeddings:
        case "none":
            return NoWords()
        case "positional":
            most = 1 + max(config.max_history, config.candidates)
            return PositionWords(most, width, config.init_std, generator)
        case "graph":
            return GraphWords(config, width, sources, generator)
