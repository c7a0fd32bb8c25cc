"""A page of sessions with cold targets: which texts and nodes drove them, in words that people can check."""

from collections.abc import Iterator, Mapping

from recommender.evaluation.page_text import shortened
from recommender.evaluation.session_cases import ColdEffect, SessionCase


def render_sessions(effect: ColdEffect, texts: Mapping[int, str], *, title: str, source: str) -> str:
    """The whole page, Markdown.

    Args:
        effect: What was found.
        texts: Row of an item → its text, title, or external id.
        title: Heading.
        source: A sentence on which model and data it is about.
    """
    counted = (
        f"Of {effect.num_pairs:,} sessions whose next item at most {effect.max_degree} training sessions "
        f"have, {effect.num_hits:,} have it among their best {effect.cutoff}; {effect.num_hits_without:,} "
        f"where no item has a text. Below: {len(effect.cases)} of the former, drawn at random.\n"
    )
    explained = (
        "A gate is the share of an item's own vector beside its text: 0 is all text. A drop is what the "
        "target loses in log-probability where a node is taken out of the session: above zero, the node "
        "spoke for it.\n"
    )
    lines = [f"# {title}\n", f"{source}\n", counted, explained]
    for case in effect.cases:
        lines += _case(case, texts)
    return "\n".join(lines).rstrip() + "\n"


def _case(case: SessionCase, texts: Mapping[int, str]) -> Iterator[str]:
    yield f"## {shortened(texts[case.item])}\n"
    yield (
        f"In {case.degree} training sessions, gate {case.gate:.2f}. Place {case.place:,}; "
        f"{case.place_without_text:,} without its text, {case.place_without_texts:,} where the session is "
        "read without texts.\n"
    )
    yield "| clicked | gate | drop without it |"
    yield "|---|---|---|"
    for click in case.clicks:
        drop = "" if click.drop is None else f"{click.drop:+.3f}"
        yield f"| {shortened(texts[click.item])} | {click.gate:.2f} | {drop} |"
    yield ""
