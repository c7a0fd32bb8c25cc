"""``featurestore verify``: read releases again and compare them with their checksums."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter


def verify(
    *,
    releases: Annotated[
        list[str] | None, typer.Argument(help="Release numbers or aliases; production if none is given.")
    ] = None,
    all_releases: Annotated[
        bool, typer.Option("--all", help="Verify all releases, and that every alias names one.")
    ] = False,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Read all that releases pin and say what is damaged; exit code 14 if something is."""
    from cli.project import open_project
    from featurestore.errors import UsageError
    from featurestore.releases.verify import describe, require_sound
    from featurestore.releases.verify import verify as run_verify

    if all_releases and releases:
        raise UsageError("name releases, or verify --all of them, not both.")
    report = Reporter(as_json=as_json)
    store = open_project(project).store
    with report.progress("verify") as progress:
        found = run_verify(store, () if all_releases else releases or ("production",), progress=progress)
    numbers = ", ".join(map(str, found.releases)) or "none"
    report.say(
        f"releases verified: {numbers}; {found.num_tables} table versions, {found.num_rows:,} rows read, "
        f"{found.num_objects} snapshots and artefacts"
    )
    for damage in found.damages:
        report.say(f"damaged: {describe(damage)}")
    if not found.damages:
        report.say("everything is as it was published")
        report.result(asdict(found))
    require_sound(found)
