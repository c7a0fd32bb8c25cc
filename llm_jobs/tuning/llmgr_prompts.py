"""The prompts of LLMGR's two stages, as parts: words, data and places.

The paper (arXiv 2402.16539) shows the beginning of one prompt only. These words are our reconstruction, after
its description: stage 1 asks which of some nodes a title is of, stage 2 which item comes next in a session.
"""

from collections.abc import Sequence
from typing import Final

from llm_jobs.tuning.hybrid_input import Graph, Node, Part, Title

TITLE_PROMPT: Final = 'Title: "<TITLE>". Which node is it?'
"""Stage 1 without candidates: what a text alone says of its item."""


def alignment_prompt(candidates: Sequence[int], title: str) -> list[Part]:
    """Stage 1: nodes and a title.

    Args:
        candidates: Rows of items, in the order in which they are offered.
        title: Text of one of them.
    """
    return ["Candidates: ", *_listed(candidates), ". ", *title_prompt(title)]


def title_prompt(title: str) -> list[Part]:
    """The end of stage 1: an item without events has one too."""
    before, _, after = TITLE_PROMPT.partition("<TITLE>")
    return [before, Title(title), after]


def behaviour_prompt(clicks: Sequence[int], session: int | None) -> list[Part]:
    """Stage 2: a session as a graph and as its nodes.

    Args:
        clicks: Rows of items, oldest first; an item that was clicked twice stands twice.
        session: Row of the graph's vector; None for a prompt without a graph.
    """
    graph: list[Part] = [] if session is None else ["Session graph: ", Graph(session), ". "]
    return [*graph, "Nodes in click order: ", *_listed(clicks), ". Recommend the next item."]


def words_prompt(titles: Sequence[str]) -> list[Part]:
    """A session in words alone, without any vector.

    RSL (Chu et al., arXiv 2308.10837) tunes a language model on events as text. It published no code: the
    words, and reading its answer by W_o instead of writing it, are our reconstruction.

    Args:
        titles: Of the items, newest first: where there is no room for all, the oldest are cut.
    """
    listed: list[Part] = []
    for title in titles:
        listed += ["; ", Title(title)] if listed else [Title(title)]
    return ["Items, newest first: ", *listed, ". Recommend the next item."]


def _listed(items: Sequence[int]) -> list[Part]:
    listed: list[Part] = []
    for item in items:
        listed += [", ", Node(item)] if listed else [Node(item)]
    return listed
