"""``featurestore leaderboard``: trained models of one release in one table, the best first."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter


def leaderboard(
    models: Annotated[
        list[Path],
        typer.Argument(help="Folders of trained models of one release. Seeds are averaged."),
    ],
    *,
    metric: Annotated[
        str, typer.Option("--metric", "-m", help="What models are ordered and tested by.")
    ] = "ndcg@10",
    baseline: Annotated[
        str,
        typer.Option("--baseline", "-b", help="What gains are tested against: popularity, or a folder."),
    ] = "popularity",
    release: Annotated[
        str | None,
        typer.Option("--release", "-r", help="Release to test on; by default the one they were trained on."),
    ] = None,
    task: Annotated[
        str, typer.Option("--task", help="users, or sessions: see featurestore evaluate.")
    ] = "users",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Page to write, replaced if it exists.")
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Order trained models by a test metric, all items ranked, and mark what is no luck.

    Marks are of a paired bootstrap over users against the baseline, Holm-corrected: * p < 0.05, ** p < 0.01.
    """
    from cli.evaluating import read_request
    from cli.pages import check_page
    from cli.project import open_project
    from featurestore.reader import FeatureStore
    from recommender.evaluation.compare import compare_models
    from recommender.evaluation.learning_curves import learning_curves
    from recommender.evaluation.report_page import SHOWN, render_comparison, significance_note, summary
    from recommender.evaluation.report_tables import leaderboard_rows

    request = read_request(release=release, task=task, num_negatives=0, baseline=baseline, metric=metric)
    store = FeatureStore(open_project(project).store)
    if output is not None:
        check_page(output)
    reporter = Reporter(as_json=as_json)
    with reporter.progress("ranking") as progress:
        report = compare_models(store, models, request, progress=progress)
    reporter.say(summary(report))
    reporter.table("Leaderboard", leaderboard_rows(report, SHOWN))
    reporter.say(significance_note(report))
    if output is not None:
        output.write_text(render_comparison(report, learning_curves(report)), encoding="utf-8")
        reporter.say(f"page written to {output}")
    reporter.result(report.as_dict())
