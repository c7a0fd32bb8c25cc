"""A comparison as tables: what the command line prints and pages show are the same cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recommender.evaluation.compare import Comparison
from recommender.evaluation.results import ModelResult
from recommender.evaluation.user_groups import Gap, largest_gap

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text.

    Attributes:
        columns: Their names.
        rows: A cell for every column.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def leaderboard_rows(report: Comparison, metrics: Sequence[str]) -> list[Row]:
    """One row per result: what it is, the compared metric with its mark first, then other metrics."""
    return [
        _leaderboard_row(place, result, report, metrics) for place, result in enumerate(report.results, 1)
    ]


def metric_rows(report: Comparison, name: str, *, sampled: bool = False) -> list[Row]:
    """One row per result with all cutoffs of one metric, such as ``ndcg``."""
    rows: list[Row] = []
    for result in report.results:
        row: Row = {"model": result.name, "seeds": result.num_seeds}
        means = (result.sampled or {}) if sampled else result.means
        deviations = result.sampled_deviations if sampled else result.deviations
        for metric in means:
            if metric.startswith(f"{name}@"):
                row[f"@{metric.partition('@')[2]}"] = _spread(means, deviations, metric)
        rows.append(row)
    return rows


def list_rows(report: Comparison, cutoff: int) -> list[Row]:
    """One row per result with the measures of its lists."""
    names = [name for name in report.results[0].lists if name.endswith(f"@{cutoff}")]
    rows: list[Row] = []
    for result in report.results:
        row: Row = {"model": result.name}
        spread = {n.partition("@")[0]: _spread(result.lists, result.list_deviations, n) for n in names}
        rows.append(row | spread)
    return rows


def significance_rows(report: Comparison) -> list[Row]:
    """One row per result that was tested against the baseline."""
    rows: list[Row] = [
        {
            "model": result.name,
            "difference": f"{result.test.difference:+.4f}",
            "95 % interval": f"{result.test.low:+.4f} to {result.test.high:+.4f}",
            "p": f"{result.test.p_value:.4f}",
            "p (Holm)": f"{result.test.holm_p_value:.4f}",
            "": result.mark,
        }
        for result in report.results
        if result.test is not None
    ]
    return rows


def stratum_rows(report: Comparison, kind: str, metric: str) -> list[Row]:
    """One row per stratum of a kind with the metric of every result, where both were measured."""
    rows: list[Row] = []
    for place, stratum in enumerate(report.results[0].strata):
        if stratum.kind == kind and metric in stratum.means:
            row: Row = {kind: stratum.label, "users": stratum.num_users, "pairs": stratum.num_pairs}
            values = {
                result.name: _spread(result.strata[place].means, result.stratum_deviations[place], metric)
                for result in report.results
            }
            rows.append(row | values)
    return rows


def stratum_kinds(report: Comparison) -> list[str]:
    """How the test was cut, in order."""
    return list(dict.fromkeys(stratum.kind for stratum in report.results[0].strata))


def stratum_metric(report: Comparison, kind: str) -> str:
    """What a kind of strata is shown by: the compared metric, or recall where pairs have no such metric."""
    means = next(s.means for s in report.results[0].strata if s.kind == kind)
    return report.metric if report.metric in means else f"recall@{report.metric.partition('@')[2]}"


def gaps(result: ModelResult, attributes: Sequence[str], metric: str) -> list[Gap]:
    """The largest gap of each attribute that has one."""
    found = [largest_gap(name, result.strata, metric) for name in attributes]
    return [gap for gap in found if gap is not None]


def gap_rows(report: Comparison) -> list[Row]:
    """One row per result and attribute of users."""
    rows: list[Row] = [
        {
            "model": result.name,
            "attribute": gap.attribute,
            "best": gap.best,
            "worst": gap.worst,
            "gap": f"{gap.difference:.4f}",
        }
        for result in report.results
        for gap in gaps(result, report.attributes, report.metric)
    ]
    return rows


def as_table(rows: Sequence[Row]) -> Table | None:
    """Rows of equal columns as text; None of none."""
    if not rows:
        return None
    columns = tuple(rows[0])
    return Table(columns, tuple(tuple(_text(row.get(name)) for name in columns) for row in rows))


def _leaderboard_row(place: int, result: ModelResult, report: Comparison, metrics: Sequence[str]) -> Row:
    mark = "(baseline)" if result.name == report.baseline else result.mark
    row: Row = {
        "": place,
        "model": result.name,
        "features": result.card.features,
        "control": result.card.control,
        "fusion": result.card.fusion,
        "seeds": result.num_seeds,
    }
    row[report.metric] = f"{_spread(result.means, result.deviations, report.metric)} {mark}".rstrip()
    others = [name for name in metrics if name != report.metric]
    return row | {name: _spread(result.means, result.deviations, name) for name in others}


def _spread(means: Mapping[str, float], deviations: Mapping[str, float] | None, metric: str) -> str:
    return f"{means[metric]:.4f}" + (f" ± {deviations[metric]:.4f}" if deviations else "")


def _text(value: object) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
