"""``featurestore evaluate``: test metrics of trained models, popularity beside them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter

if TYPE_CHECKING:
    from recommender.evaluation.compare import Comparison

_SHOWN = ("hr", "recall", "ndcg", "mrr", "map")


def evaluate(
    models: Annotated[
        list[Path],
        typer.Argument(help="Folders of trained models. Models that differ in the seed only are averaged."),
    ],
    *,
    release: Annotated[
        str | None,
        typer.Option("--release", "-r", help="Release to test on; by default the one they were trained on."),
    ] = None,
    task: Annotated[
        str,
        typer.Option(
            "--task",
            help="users: every user's test items. sessions: each next item among a user's test events, after "
            "those before it.",
        ),
    ] = "users",
    negatives: Annotated[
        int,
        typer.Option(
            "--negatives", min=0, help="Rank among so many sampled items as well, such as 99; 0 for none."
        ),
    ] = 0,
    baseline: Annotated[
        str,
        typer.Option("--baseline", "-b", help="What gains are measured against: popularity, or a folder."),
    ] = "popularity",
    metric: Annotated[
        str, typer.Option("--metric", "-m", help="What models are ordered and tested by.")
    ] = "ndcg@10",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for evaluation.json, evaluation.html and per_user.parquet."
        ),
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Rank all items for every test user: HR, Recall, NDCG, MRR, MAP, lists, strata, significance.

    Items of training and validation are left out of the ranking; equal scores count as in random order.
    """
    from cli.evaluating import read_request
    from cli.project import open_project
    from featurestore.reader import FeatureStore
    from recommender.evaluation.compare import compare_models
    from recommender.evaluation.learning_curves import learning_curves
    from recommender.evaluation.report_files import prepare_folder, write_comparison
    from recommender.evaluation.report_page import render_comparison, summary

    request = read_request(
        release=release, task=task, num_negatives=negatives, baseline=baseline, metric=metric
    )
    store = FeatureStore(open_project(project).store)
    if output is not None:
        prepare_folder(output)
    reporter = Reporter(as_json=as_json)
    with reporter.progress("ranking") as progress:
        report = compare_models(store, models, request, progress=progress)
    reporter.say(summary(report))
    _print(reporter, report)
    if output is not None:
        page = render_comparison(report, learning_curves(report))
        paths = write_comparison(output, report, page, store.release(str(report.release)))
        reporter.say("written: " + ", ".join(str(path) for path in paths))
    reporter.result(report.as_dict())


def _print(reporter: Reporter, report: "Comparison") -> None:
    from recommender.evaluation import report_tables as tables
    from recommender.evaluation.report_page import significance_note

    for name in _SHOWN:
        reporter.table(f"Test {name.upper()}", tables.metric_rows(report, name))
    if report.negatives is not None:
        for name in _SHOWN:
            rows = tables.metric_rows(report, name, sampled=True)
            reporter.table(f"Test {name.upper()} among sampled negatives ({report.negatives[:12]})", rows)
    cutoff = int(report.metric.partition("@")[2])
    reporter.table(f"Lists of {cutoff}", tables.list_rows(report, cutoff))
    for kind in tables.stratum_kinds(report):
        metric = tables.stratum_metric(report, kind)
        reporter.table(f"Test {metric} by {kind}", tables.stratum_rows(report, kind, metric))
    if gaps := tables.gap_rows(report):
        reporter.table(f"Largest gaps in {report.metric} between groups of users", gaps)
    reporter.table(significance_note(report), tables.significance_rows(report))
