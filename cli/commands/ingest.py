"""``featurestore ingest``: files into the store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter
from featurestore.errors import UsageError

if TYPE_CHECKING:
    from featurestore.ingest import IngestReport


def ingest(
    *,
    items: Annotated[
        Path | None, typer.Option("--items", help="File of items; by default the project's.")
    ] = None,
    users: Annotated[
        Path | None, typer.Option("--users", help="File of users; by default the project's.")
    ] = None,
    interactions: Annotated[
        Path | None, typer.Option("--interactions", help="File of interactions; by default the project's.")
    ] = None,
    source_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="table, amazon-2014, amazon-2018, amazon-2023, movielens-100k or movielens-1m.",
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", help="FILE.OURS=THEIRS, such as items.description=plot. May be repeated."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split", help="leave_one_out, official, temporal, ratio or none; by default the project's."
        ),
    ] = None,
    valid_share: Annotated[
        float | None,
        typer.Option("--valid-share", help="Share of events that validate (temporal, ratio, official)."),
    ] = None,
    test_share: Annotated[
        float | None, typer.Option("--test-share", help="Share of events that test (temporal, ratio).")
    ] = None,
    sessions: Annotated[
        str | None,
        typer.Option(
            "--sessions",
            help="Sessions in the place of users: none, user (each user's sequence) or gap (a pause ends "
            "one); by default the project's. Short ones and rare items are left out ([ingest.sessions]).",
        ),
    ] = None,
    gap_seconds: Annotated[
        int | None,
        typer.Option("--gap-seconds", help="With --sessions gap: the longest pause inside a session."),
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Read items, users and interactions into the store; bad rows are refused with a reason."""
    from cli.project import open_project
    from cli.sources import ingest_request
    from featurestore.ingest import ingest as run_ingest

    opened = open_project(project)
    reporter = Reporter(as_json=as_json)
    request = ingest_request(
        opened,
        files={"items": items, "users": users, "interactions": interactions},
        source_format=source_format,
        columns=columns or (),
        split={"method": split, "valid_share": valid_share, "test_share": test_share},
        sessions={"by": sessions, "gap_seconds": gap_seconds},
    )
    if gap_seconds is not None and request.sessions.by != "gap":
        raise UsageError(
            f"--gap-seconds ends sessions by a pause, and sessions are {request.sessions.by!r} here.",
            hint="Add --sessions gap.",
        )
    with reporter.progress("ingest") as progress:
        report = run_ingest(opened.store, request, progress=progress)
    _print(reporter, report)
    reporter.result(report.as_dict())


def _print(reporter: Reporter, report: "IngestReport") -> None:
    files = [
        {
            "file": each.file,
            "as": each.role,
            "read": each.read,
            "kept": each.kept,
            "quarantined": sum(each.quarantined.values()),
        }
        for each in report.files
    ]
    reporter.table("Files", files)
    reasons = [
        {"file": each.file, "reason": reason, "rows": count}
        for each in report.files
        for reason, count in each.quarantined.items()
    ]
    if reasons:
        reporter.table("Quarantined (rows in source.quarantine)", reasons)
    for each in report.files:
        for note, count in each.notes.items():
            reporter.say(f"{note}: {count:,}")
    if report.split:
        parts = ", ".join(f"{part} {count:,}" for part, count in report.split.counts.items())
        reporter.say(f"Split {report.split.checksum[:16]} ({report.split.method}): {parts}")
    _print_suitability(reporter, report)
    if not report.changed_tables:
        reporter.say("The store held all of this already: no new version.")


def _print_suitability(reporter: Reporter, report: "IngestReport") -> None:
    found = report.suitability
    fields = [
        {
            "field": f"{each.entity}.{each.field}",
            "coverage": f"{each.coverage:.1%}",
            "mean chars": round(each.mean_chars),
            "median": round(each.median_chars),
            "95 %": round(each.p95_chars),
            "longest": each.max_chars,
            "repeated": f"{each.duplicate_share:.1%}",
        }
        for each in found.fields
    ]
    reporter.table("Text fields", fields)
    for name, degrees in (("user", found.user_degrees), ("item", found.item_degrees)):
        if degrees:
            shown = ", ".join(f"{label} {value:,.0f}" for label, value in degrees.items())
            reporter.say(f"Interactions per {name}: {shown}")
    reporter.say(
        f"{found.num_items:,} items, {found.num_users:,} users, {found.num_interactions:,} interactions "
        f"(density {found.density:.3%}); {found.cold_share:.1%} of the items are cold, "
        f"{found.held_out_items:,} occur in validation or test only."
    )
    reporter.say(f"item_cot over all items would take about {found.item_cot_tokens:,} tokens.")
    reporter.say(found.verdict)
