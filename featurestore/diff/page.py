"""A comparison of two releases as one HTML page of its own, see `featurestore.pages.html_page`."""

from dataclasses import dataclass
from typing import Final

from featurestore.diff.result import CodesDiff, GateDelta, ReleaseDiff, TextDiff, VectorDiff
from featurestore.pages import html_page
from featurestore.pages.histogram import Histogram, histogram
from featurestore.pages.word_difference import WordRun, word_difference

_TEMPLATE: Final = "featurestore/diff/page.html.jinja"
_NAMES: Final = ("before", "after")


@dataclass(frozen=True, slots=True)
class _Rewritten:
    id: str
    title: str
    similarity: float
    difference: tuple[WordRun, ...]


def render_page(diff: ReleaseDiff) -> str:
    """The page: counts, gates, and what changed of each feature, with plots."""
    return html_page.render_page(
        _TEMPLATE,
        {
            "diff": diff,
            "same": [row for row in diff.counts if row.change == "same"],
            "changed": [row for row in diff.counts if row.change != "same"],
            "gates": sorted(diff.gates, key=_gate_rank),
            "texts": [(texts, _rewritten(diff, texts)) for texts in diff.texts],
            "plots": _plots(diff),
        },
    )


def _gate_rank(gate: GateDelta) -> tuple[bool, bool, str, str]:
    """Refusals first, then what moved."""
    return gate.passed, not gate.delta, gate.feature, gate.gate


def _rewritten(diff: ReleaseDiff, texts: TextDiff) -> list[_Rewritten]:
    return [
        _Rewritten(
            id=change.id,
            title=diff.title(texts.entity, change.id),
            similarity=change.similarity,
            difference=word_difference(change.before, change.after),
        )
        for change in texts.examples
    ]


def _plots(diff: ReleaseDiff) -> list[Histogram]:
    plots = [_of_texts(texts) for texts in diff.texts]
    plots += [_of_vectors(vectors) for vectors in diff.vectors]
    plots += [_of_codes(codes) for codes in diff.codes]
    return [plot for plot in plots if plot is not None]


def _of_texts(texts: TextDiff) -> Histogram | None:
    if texts.lengths is None:
        return None
    before, after = texts.lengths
    title = f"{texts.name}: characters of rewritten texts"
    return histogram(title, before.tolist(), after.tolist(), names=_NAMES)


def _of_vectors(vectors: VectorDiff) -> Histogram | None:
    if vectors.distances is None:
        return None
    thousandths = (1000 * vectors.distances).astype(int).tolist()
    return histogram(
        f"{vectors.name}: 1 - cosine of moved vectors, thousandths", [], thousandths, names=_NAMES
    )


def _of_codes(codes: CodesDiff) -> Histogram | None:
    if not codes.moved_by_level:
        return None
    levels = [level for level, count in enumerate(codes.moved_by_level, start=1) for _ in range(count)]
    title = f"{codes.name}: moved semantic ids by the first place that differs"
    return histogram(title, [], levels, names=_NAMES)
