"""A comparison as one HTML page that needs no other file: tables, bars of strata, learning curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from featurestore.pages.html_page import render_page
from recommender.evaluation.compare import Comparison
from recommender.evaluation.measurement import ITEM_CUTS
from recommender.evaluation.plots import Curve, Figure, bar_figure, curve_figure
from recommender.evaluation.report_tables import (
    Table,
    as_table,
    gap_rows,
    leaderboard_rows,
    list_rows,
    metric_rows,
    significance_rows,
    stratum_kinds,
    stratum_metric,
    stratum_rows,
)
from recommender.metrics import NAMES

_TEMPLATE: Final = "recommender/evaluation/evaluation_page.html.jinja"
_COLOURS: Final = (
    "#2a6fbb", "#b85c00", "#3a8f4d", "#8a4fbf", "#c23b5a", "#1f8f9c", "#8c7a1f", "#7a7a7a",
)  # fmt: skip
SHOWN: Final = ("hr@10", "recall@20", "ndcg@10", "ndcg@20", "mrr@10", "map@10")


@dataclass(frozen=True, slots=True)
class _Section:
    title: str
    note: str = ""
    table: Table | None = None
    figures: tuple[Figure, ...] = ()


def render_comparison(report: Comparison, curves: Mapping[str, Sequence[Curve]] | None = None) -> str:
    """The page.

    Args:
        report: At least one result.
        curves: Validation metric → runs, see `recommender.evaluation.learning_curves`; empty without any.
    """
    sections = [_ranks(report), _tests(report), *_metrics(report), *_sampled(report), _lists(report)]
    sections += _strata(report)
    if curves:
        figures = tuple(curve_figure(f"validation {name}", runs) for name, runs in curves.items())
        sections.append(_Section("Learning curves", "Validations during training.", figures=figures))
    return render_page(
        _TEMPLATE,
        {
            "title": f"Release {report.release}: {len(report.results)} models on the test part",
            "summary": summary(report),
            "names": [result.name for result in report.results],
            "colours": _COLOURS,
            "sections": sections,
        },
    )


def summary(report: Comparison) -> str:
    """What was ranked, in one or two sentences."""
    if report.task == "sessions":
        return (
            f"Release {report.release}: {report.num_pairs:,} next items after prefixes of test sessions, all "
            "items ranked, repeats of a session's items too."
        )
    return (
        f"Release {report.release}: {report.num_pairs:,} test pairs of {report.num_users:,} users, all items "
        f"ranked; {report.num_repeats:,} repeats of earlier items left out."
    )


def significance_note(report: Comparison) -> str:
    """What the marks mean."""
    return (
        f"{report.metric} against {report.baseline}: paired bootstrap over users, seeds averaged, "
        "Holm-corrected over the models of this table; * p < 0.05, ** p < 0.01."
    )


def _ranks(report: Comparison) -> _Section:
    return _Section("Leaderboard", "Mean ± sd over seeds.", as_table(leaderboard_rows(report, SHOWN)))


def _tests(report: Comparison) -> _Section:
    return _Section("Significance", significance_note(report), as_table(significance_rows(report)))


def _metrics(report: Comparison) -> list[_Section]:
    return [
        _Section(f"{name.upper()}, full ranking", "", as_table(metric_rows(report, name))) for name in NAMES
    ]


def _sampled(report: Comparison) -> list[_Section]:
    if report.negatives is None:
        return []
    note = (
        "Every user's held-out items among sampled negatives, the same for all models (digest "
        f"{report.negatives}). Not comparable with the full ranking."
    )
    return [
        _Section(f"{name.upper()}, sampled", note, as_table(metric_rows(report, name, sampled=True)))
        for name in NAMES
    ]


def _lists(report: Comparison) -> _Section:
    note = (
        "coverage: items in anyone's list; gini: inequality of how often items are listed; popularity_bias: "
        "popularity percentile of listed items minus that of the users' own; novelty: -log2 of the share of "
        "training users who have the item."
    )
    cutoff = int(report.metric.partition("@")[2])
    return _Section(f"Lists of {cutoff}", note, as_table(list_rows(report, cutoff)))


def _strata(report: Comparison) -> list[_Section]:
    sections: list[_Section] = []
    for kind in stratum_kinds(report):
        metric = stratum_metric(report, kind)
        places = [place for place, s in enumerate(report.results[0].strata) if s.kind == kind]
        groups = [report.results[0].strata[place].label for place in places]
        values = {r.name: [r.strata[place].means[metric] for place in places] for r in report.results}
        over = "held-out pairs, each as if it were its user's only one" if kind in ITEM_CUTS else "users"
        figure = bar_figure(f"{metric} by {kind}", groups, values)
        table = as_table(stratum_rows(report, kind, metric))
        sections.append(_Section(f"By {kind}", f"{metric}, means over {over}.", table, (figure,)))
    if rows := gap_rows(report):
        note = f"Largest difference in {report.metric} between groups of at least 20 users."
        sections.append(_Section("Gaps between groups of users", note, as_table(rows)))
    return sections
