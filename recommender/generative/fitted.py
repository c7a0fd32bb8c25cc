"""What is left of a network when it has learned, and lists out of it, 256 lines at a time.

Letters: n lines, I items, N nodes, d dimensions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import torch

from featurestore.errors import UsageError
from featurestore.progress import Progress
from recommender.data import FloatArray, IntArray
from recommender.generative.config import GenerativeConfig
from recommender.generative.decode import write_items
from recommender.generative.inputs import Inputs
from recommender.generative.network import GenerativeNetwork
from recommender.generative.tokens import Vocabulary
from recommender.generative.trie import Trie
from recommender.generative.words import lookup
from recommender.generative.writer import Writer

Ask: TypeAlias = Callable[[IntArray], tuple[Inputs, Trie]]
"""Places of some lines → what T5 reads of them, and what it may write."""
_LINES_AT_A_TIME: Final = 256


@dataclass(frozen=True, slots=True)
class Fitted:
    """What lists are written with.

    Attributes:
        writer: T5 and the prompt vectors.
        vocabulary: Its tokens.
        table: What whole words are read from: (1 + N, d) of the graph, (words + 1, d) of places; or None.
    """

    writer: Writer
    vocabulary: Vocabulary
    table: torch.Tensor | None

    @classmethod
    def of(cls, network: GenerativeNetwork) -> "Fitted":
        """A network as it is; its writer stays the network's own."""
        return cls(network.writer, network.vocabulary, network.words.table())


def require_length(config: GenerativeConfig, top_k: int) -> None:
    """Look at whether lists can be so long.

    Raises:
        UsageError: If they cannot.
    """
    if not 1 <= top_k <= config.beam_size:
        raise UsageError(
            f"lists of {top_k} items were asked for; with this beam_size they have 1 to {config.beam_size}.",
            hint="Ask for shorter lists, or set a larger beam_size.",
        )


@torch.no_grad()
def decode_lines(
    fitted: Fitted, config: GenerativeConfig, order: IntArray, top_k: int, *, ask: Ask, progress: Progress
) -> tuple[IntArray, FloatArray]:
    """The best items of some lines.

    Args:
        fitted: Put into evaluation mode.
        config: Gives the beam's width, and what words are.
        order: (n,) int64 places of all lines, in the order in which they are decoded.
        top_k: Items of a list.
        ask: Called for 256 places at a time.
        progress: Told about lines, which it calls users.

    Returns:
        (n, top_k) int64 item rows, best first, -1 where a list ends, and their (n, top_k) float32 scores,
        -inf there.

    Raises:
        UsageError: If lists cannot be so long.
    """
    require_length(config, top_k)
    items = np.full((len(order), top_k), -1, np.int64)
    scores = np.full((len(order), top_k), -np.inf, np.float32)
    fitted.writer.eval()
    for start in range(0, len(order), _LINES_AT_A_TIME):
        part = order[start : start + _LINES_AT_A_TIME]
        inputs, trie = ask(part)
        words = None if fitted.table is None else lookup(config.word_embeddings, fitted.table, inputs)
        encoded = fitted.writer.encode(inputs, words)
        found, values = write_items(fitted.writer, fitted.vocabulary, encoded, trie, config.beam_size)
        width = min(top_k, found.shape[1])
        items[part, :width], scores[part, :width] = found[:, :width], values[:, :width]
        progress(start + len(part), len(order), "users")
    return items, scores
