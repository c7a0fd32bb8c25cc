"""``featurestore semantic-ids``: discrete codes from a vector feature."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption, ViewOption
from cli.report import Reporter

if TYPE_CHECKING:
    from featurestore.codes.build import CodesReport


def semantic_ids(
    feature: Annotated[str, typer.Option("--feature", "-f", help="Vector feature to make ids from.")],
    *,
    view: ViewOption = None,
    codebook: Annotated[
        str,
        typer.Option(
            "--codebook",
            help="current: the feature's own, trained first if there are none; unchanged items keep their "
            "ids. new: train new ones, starting from the current ones; ids move. Or the first characters of "
            "earlier ones, to go back to them.",
        ),
    ] = "current",
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Make semantic ids from stored vectors: a few codes per item, and a digit that tells equal codes apart.

    Shows how well the codebooks are used, how many items share their codes, how much of the vectors the codes
    keep, and how many ids moved.
    """
    from cli.project import open_project
    from featurestore.codes.build import build_codes
    from featurestore.features import FeatureRegistry

    opened = open_project(project)
    reporter = Reporter(as_json=as_json)
    head = FeatureRegistry(opened.store).pick_head("vector", feature, view)
    with reporter.progress("semantic ids") as progress:
        report = build_codes(
            opened.store,
            feature=feature,
            view=head.spec.view,
            options=opened.config.semantic_ids,
            codebook=codebook,
            progress=progress,
        )
    _print(reporter, report)
    reporter.result(
        {
            "feature": report.spec.feature,
            "view": report.spec.view,
            "codebook": report.spec.codebook,
            "trained": report.trained,
            "warm_start": report.warm_start,
            "table": report.table.table,
            "version": report.table.version,
            "changed": report.changed,
            "num_coded": report.num_coded,
            "num_new": report.num_new,
            "num_gone": report.num_gone,
            "churn": report.churn and report.churn.model_dump(mode="json"),
            "quality": report.quality.model_dump(mode="json"),
        }
    )


def _print(reporter: Reporter, report: "CodesReport") -> None:
    spec, quality, churn = report.spec, report.quality, report.churn
    written = f"version {report.table.version}" if report.changed else "unchanged"
    reporter.say(
        f"{spec.feature}.{spec.view}: {spec.num_levels} levels of {spec.codebook_size} codes, {written}"
    )
    origin = "as before"
    if report.trained:
        origin = f"trained from {report.warm_start[:16]}" if report.warm_start else "trained"
    reporter.say(f"codebooks {spec.codebook[:16]}, {origin}")
    reporter.table(
        "Semantic ids",
        [
            {"measure": "entities", "value": quality.num_entities},
            {"measure": "new", "value": report.num_new},
            {"measure": "gone", "value": report.num_gone},
            {"measure": "coded now", "value": report.num_coded},
            {"measure": "moved, of those that had an id", "value": churn.num_moved if churn else 0},
            {"measure": "share their codes with another", "value": quality.num_sharing},
            {"measure": "largest group of equal codes", "value": quality.largest_group},
            {"measure": "largest digit", "value": quality.largest_digit},
        ],
    )
    moved = churn.moved_by_level if churn else ()
    reporter.table(
        f"Levels, measured on {quality.sample_rows:,} entities",
        [
            {
                "level": number,
                "codes used": level.codes_used,
                "perplexity": level.perplexity,
                "error left": level.reconstruction_error,
                "neighbour purity": level.neighbor_purity,
                "by chance": level.chance_purity,
                "moved up to here": moved[number - 1] if number <= len(moved) else None,
            }
            for number, level in enumerate(quality.levels, start=1)
        ],
    )
