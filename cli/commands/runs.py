"""``featurestore runs``: what jobs did, from the cards they left in the store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter, duration

if TYPE_CHECKING:
    from featurestore.jobs.runcard import RunCard

group = typer.Typer(
    help="List and show the runs that wrote into the store.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@group.command("ls")
def list_(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Runs at most, the newest.")] = 20,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """List runs, newest first: what they wrote, how long they took, how they ended."""
    from cli.project import open_project
    from featurestore.jobs.runcard import recent_cards

    report = Reporter(as_json=as_json)
    cards = recent_cards(open_project(project).store, limit)
    report.table("runs", [_row(card) for card in cards])
    report.result({"runs": [_as_dict(card) for card in cards]})


@group.command("show")
def show(
    *,
    run: Annotated[
        str | None, typer.Argument(help="Run id or the beginning of one; the newest run if none is given.")
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Show one run: counts, tokens, time, cost, versions, and its plan beside what happened."""
    from cli.plan_view import show_comparison
    from cli.project import open_project
    from featurestore.jobs.runcard import find_run

    report = Reporter(as_json=as_json)
    card = find_run(open_project(project).store, run)
    report.table(f"run {card.run_id}", [{"what": name, "value": value} for name, value in _facts(card)])
    report.table(
        "rows",
        [
            {"stage": stage, "outcome": outcome, "rows": count, "spec": card.specs.get(stage, "-")[:16]}
            for stage, outcomes in card.counts.items()
            for outcome, count in sorted(outcomes.items())
        ],
    )
    if card.planned is not None:
        show_comparison(report, card.planned, card.actual)
    report.result(_as_dict(card))


def _row(card: "RunCard") -> dict[str, object]:
    ok, failed = _outcomes(card)
    return {
        "run": card.run_id,
        "job": card.job,
        "feature": card.feature,
        "model": card.model or "-",
        "status": card.status,
        "ok": ok,
        "failed": failed,
        "output tokens": card.output_tokens,
        "time": duration(card.seconds),
    }


def _facts(card: "RunCard") -> list[tuple[str, object]]:
    ok, failed = _outcomes(card)
    machine = card.machine
    gpus = ", ".join(machine.gpus) or "no GPU" if machine is not None else "-"
    facts: list[tuple[str, object]] = [
        ("job", f"{card.job} {card.feature} by {card.model or '-'}"),
        ("status", card.status if card.error is None else f"{card.status}: {card.error.splitlines()[0]}"),
        ("started", card.started_at),
        ("time", f"{duration(card.seconds)}, {card.engine_seconds:,.1f} s of it engine"),
        ("rows", f"{ok:,} ok, {failed:,} failed, of {card.num_entities:,} entities"),
        ("requests", f"{card.requests:,}, and {card.reused:,} answers that were known"),
        ("cost", card.cost),
        ("engine", card.engine),
        ("model", card.model_source),
        ("machine", f"{machine.cores} cores, {machine.memory_gib} GiB, {gpus}" if machine else None),
        ("versions", ", ".join(f"{name} {found}" for name, found in sorted(card.versions.items()))),
        ("product", f"{card.product_version}, Python {card.python_version}"),
    ]
    return facts


def _outcomes(card: "RunCard") -> tuple[int, int]:
    counts = card.counts.values()
    ok = sum(outcomes.get("ok", 0) for outcomes in counts)
    return ok, sum(sum(outcomes.values()) for outcomes in counts) - ok


def _as_dict(card: "RunCard") -> dict[str, object]:
    return {**card.model_dump(mode="json"), "plan_errors": card.plan_errors}
