"""A comparison as one HTML page that needs nothing else: no script, no font, no picture from elsewhere.

Titles and texts are hostile input. All of them are escaped, and the page forbids itself to load anything.
"""

from dataclasses import dataclass
from typing import Final

from featurestore.pages import html_page
from featurestore.pages.histogram import Histogram, histogram
from featurestore.pages.word_difference import SideLetter, WordRun, word_difference, word_similarity
from llm_jobs.compare_result import Comparison, Side, StageOutcome, number_rows, summary

_TEMPLATE: Final = "llm_jobs/compare_page.html.jinja"


@dataclass(frozen=True, slots=True)
class _Near:
    number: int
    title: str
    shared: bool


@dataclass(frozen=True, slots=True)
class _ArticleSide:
    letter: SideLetter
    last: StageOutcome
    stages: tuple[StageOutcome, ...]
    tokens: str
    flags: str
    neighbours: tuple[_Near, ...]


@dataclass(frozen=True, slots=True)
class _Article:
    number: int
    id: str
    title: str
    sides: tuple[_ArticleSide, _ArticleSide]
    difference: tuple[WordRun, ...]
    similarity: str


def render_page(comparison: Comparison) -> str:
    """The page: numbers, distributions, and every entity of the sample side by side."""
    a, b = comparison.a, comparison.b
    ranked = sorted(comparison.titles, key=lambda i: word_similarity(a.text(i), b.text(i)))
    numbers = {entity_id: number for number, entity_id in enumerate(ranked, start=1)}
    return html_page.render_page(
        _TEMPLATE,
        {
            "a": summary(a),
            "b": summary(b),
            "entity": comparison.entity,
            "seed": comparison.seed,
            "engine_a": a.engine_class,
            "engine_b": b.engine_class,
            "num_equal": comparison.num_equal,
            "neighbours": comparison.neighbours,
            "numbers": number_rows(a, b),
            "plots": _plots(a, b),
            "articles": [_article(comparison, entity_id, numbers) for entity_id in ranked],
        },
    )


def _article(comparison: Comparison, entity_id: str, numbers: dict[str, int]) -> _Article:
    first, second = comparison.a.text(entity_id), comparison.b.text(entity_id)
    both = first is not None and second is not None
    return _Article(
        number=numbers[entity_id],
        id=entity_id,
        title=comparison.titles[entity_id],
        sides=(
            _article_side(comparison, "a", entity_id, numbers),
            _article_side(comparison, "b", entity_id, numbers),
        ),
        difference=word_difference(first or "", second or "") if both and first != second else (),
        similarity=f"{word_similarity(first, second):.0%}",
    )


def _article_side(
    comparison: Comparison, letter: SideLetter, entity_id: str, numbers: dict[str, int]
) -> _ArticleSide:
    side = comparison.a if letter == "a" else comparison.b
    stages = side.outcomes[entity_id]
    prompt, cached, output = (
        side.tokens(entity_id, kind) for kind in ("prompt_tokens", "cached_tokens", "output_tokens")
    )
    return _ArticleSide(
        letter=letter,
        last=stages[-1],
        stages=stages,
        tokens=f"{prompt:,} prompt tokens ({cached:,} cached), {output:,} output",
        flags=", ".join(sorted({flag for outcome in stages for flag in outcome.flags})),
        neighbours=_nearby(comparison, letter, entity_id, numbers),
    )


def _nearby(
    comparison: Comparison, letter: SideLetter, entity_id: str, numbers: dict[str, int]
) -> tuple[_Near, ...]:
    found = comparison.neighbours
    if found is None or entity_id not in found.by_side[0]:
        return ()
    by_a, by_b = (side[entity_id] for side in found.by_side)
    own = by_a if letter == "a" else by_b
    return tuple(_Near(numbers[i], comparison.titles[i], i in by_a and i in by_b) for i in own)


def _plots(a: Side, b: Side) -> list[Histogram]:
    def tokens(side: Side, kind: str) -> list[int]:
        return [side.tokens(entity_id, kind) for entity_id in side.outcomes]

    def lengths(side: Side) -> list[int]:
        return [len(text) for entity_id in side.outcomes if (text := side.text(entity_id)) is not None]

    return [
        histogram("prompt tokens of an entity", tokens(a, "prompt_tokens"), tokens(b, "prompt_tokens")),
        histogram("output tokens of an entity", tokens(a, "output_tokens"), tokens(b, "output_tokens")),
        histogram("characters of a last text", lengths(a), lengths(b)),
    ]
