"""``featurestore ingest``: files into the store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter
from featurestore.errors import UsageError

if TYPE_CHECKING:
    from cli.project import Project
    from featurestore.ingest import IngestReport
    from featurestore.sources.source import Role
    from featurestore.splits import SplitPolicy


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
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Read items, users and interactions into the store; bad rows are refused with a reason."""
    from cli.project import open_project
    from featurestore.ingest import IngestRequest
    from featurestore.ingest import ingest as run_ingest

    opened = open_project(project)
    reporter = Reporter(as_json=as_json)
    request = IngestRequest(
        files=_files(opened, {"items": items, "users": users, "interactions": interactions}),
        format=source_format or opened.config.ingest.format,
        columns=_columns(opened, columns or []),
        split=_split(opened, split, valid_share, test_share),
    )
    with reporter.progress("ingest") as progress:
        report = run_ingest(opened.store, request, progress=progress)
    _print(reporter, report)
    reporter.result(report.as_dict())


def _files(project: "Project", given: "dict[Role, Path | None]") -> "dict[Role, Path]":
    """Files of the command line come before those of the project's configuration."""
    configured = project.config.ingest.model_dump()
    files: dict[Role, Path] = {}
    for role, path in given.items():
        if path is not None:
            files[role] = path
        elif configured[role] is not None:
            files[role] = project.path(configured[role])
    return files


def _columns(project: "Project", pairs: list[str]) -> "dict[Role, dict[str, str]]":
    configured = project.config.ingest.columns
    columns: dict[Role, dict[str, str]] = {
        "items": dict(configured.items),
        "users": dict(configured.users),
        "interactions": dict(configured.interactions),
    }
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        role, dot, name = ours.partition(".")
        if not (equals and dot and name and theirs and role in columns):
            raise UsageError(
                f"--map is FILE.OURS=THEIRS, got {pair!r}.",
                hint="FILE is items, users or interactions, such as --map items.description=plot.",
            )
        columns[role][name] = theirs
    return columns


def _split(
    project: "Project", method: str | None, valid_share: float | None, test_share: float | None
) -> "SplitPolicy":
    from cli.config import parse_config

    given = {"method": method, "valid_share": valid_share, "test_share": test_share}
    values = project.config.ingest.split.model_dump() | {k: v for k, v in given.items() if v is not None}
    return parse_config({"ingest": {"split": values}}, origin="options of ingest").ingest.split


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
