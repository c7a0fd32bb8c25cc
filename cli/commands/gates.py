"""``featurestore gates``: what the gates measured of one release after another."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter
from featurestore.errors import InputError

if TYPE_CHECKING:
    from featurestore.gates.history import GateSeries

group = typer.Typer(
    help="Show what the gates of releases measured.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction]  # keeps `history` a command of its own
    """Show what the gates of releases measured."""


@group.command("history")
def history(
    *,
    gates: Annotated[
        list[str] | None, typer.Option("--gate", help="Only this gate. May be repeated.")
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option("--feature", "-f", help="Only this feature, or feature.view. May be repeated."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Releases at most, the newest.")] = 50,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write plots to this file, which needs no other.")
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Show every gate's values over releases, those nearest to refusing first."""
    from cli.damage_view import warn_damaged
    from cli.project import open_project
    from featurestore.gates.history import gate_history
    from featurestore.gates.page import render_history

    report = Reporter(as_json=as_json)
    store = open_project(project).store
    found = gate_history(store, gates=gates or (), features=features or (), num_releases=limit)
    warn_damaged(report, found.damaged)
    report.table("gates", [_row(series) for series in found.series])
    if html is not None:
        if not found.series:
            raise InputError("no release has measured any gate.", hint="Publish one: featurestore publish.")
        html.write_text(render_history(found.series, store=store.uri), encoding="utf-8")
        report.say(f"plots written to {html}")
    report.result(
        {
            "gates": [{**asdict(series), "used": series.used} for series in found.series],
            "damaged": [asdict(release) for release in found.damaged],
        }
    )


def _row(series: "GateSeries") -> dict[str, object]:
    from featurestore.gates.catalog import GATES

    bound = "≥" if GATES[series.gate].at_least else "≤"
    return {
        "gate": series.gate,
        "feature": series.feature,
        "of": series.stratum or "all",
        "last": f"{series.last.value:.4g}",
        "bound": f"{bound} {series.last.threshold:.4g}",
        "used": f"{series.used:.0%}",
        "releases": len(series.points),
        "trend": series.trend,
    }
