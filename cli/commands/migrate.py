"""``featurestore migrate``: bring a store of an older format to this version's."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter

if TYPE_CHECKING:
    from featurestore.migrations import MigrationReport


def migrate(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")
    ] = False,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Bring a store that an older version made to this version's format.

    May be interrupted, and run again.
    """
    from cli.project import open_project
    from featurestore.migrations import OLDEST_FORMAT, plan_migration
    from featurestore.migrations import migrate as run_migrations
    from featurestore.store_format import FORMAT
    from featurestore.stores import connect

    report = Reporter(as_json=as_json)
    store = connect(open_project(project).store_uri, oldest_writable=OLDEST_FORMAT)
    with report.progress("migrate") as progress:
        done = plan_migration(store) if dry_run else run_migrations(store, progress=progress)
    _print(report, done, now=done.found if dry_run else FORMAT)
    report.result({"dry_run": dry_run, "format": FORMAT, **done.as_dict()})


def _print(report: Reporter, done: "MigrationReport", *, now: int) -> None:
    for step in done.steps:
        report.say(f"to format {step.format}: {step.title}")
        for change in step.changes:
            report.say(f"  {change}")
    if not done.found:
        report.say("the store holds nothing yet")
    elif not done.steps:
        report.say(f"the store has format {now} already: there is nothing to do")
    else:
        report.say(f"the store has format {now}{' still' if now == done.found else ' now'}")
