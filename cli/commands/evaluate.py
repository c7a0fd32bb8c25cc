"""``featurestore evaluate``: test metrics of trained models, popularity beside them."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter

if TYPE_CHECKING:
    from recommender.compare import ModelResult


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
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Rank all items for every test user and show HR, NDCG and Recall at 5, 10 and 20.

    Items of training and validation are left out of the ranking; equal scores count as in random order.
    """
    from cli.project import open_project
    from featurestore.reader import FeatureStore
    from recommender.compare import compare_models

    opened = open_project(project)
    reporter = Reporter(as_json=as_json)
    with reporter.progress("ranking") as progress:
        report = compare_models(FeatureStore(opened.store), models, release_name=release, progress=progress)
    reporter.say(
        f"Release {report.release}: {report.num_pairs:,} test pairs of {report.num_users:,} users, all items "
        f"ranked; {report.num_repeats:,} repeats of earlier items left out."
    )
    for name in ("hr", "recall", "ndcg"):
        reporter.table(f"Test {name.upper()}", [_row(result, name) for result in report.results])
    for result in report.results:
        if result.gain is not None:
            low, high = result.gain
            reporter.say(
                f"{result.name}: NDCG@10 minus popularity's, 95 % interval {low:+.4f} to {high:+.4f}"
            )
    reporter.result(asdict(report))


def _row(result: "ModelResult", metric: str) -> dict[str, object]:
    row: dict[str, object] = {"model": result.name, "seeds": result.num_seeds}
    for name, mean in result.means.items():
        if name.startswith(f"{metric}@"):
            spread = f" ± {result.deviations[name]:.4f}" if result.deviations else ""
            row[f"@{name.partition('@')[2]}"] = f"{mean:.4f}{spread}"
    return row
