"""``featurestore gc``: remove what no release, head, split or running job needs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter

if TYPE_CHECKING:
    from featurestore.releases.gc import GcReport


def gc(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")
    ] = False,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Remove old releases and all that nothing refers to, and merge small files. [gc] says what is kept."""
    from cli.project import open_project
    from featurestore.releases.gc import gc as run_gc

    report = Reporter(as_json=as_json)
    opened = open_project(project)
    with report.progress("gc") as progress:
        done = run_gc(opened.store, opened.config.gc, dry_run=dry_run, progress=progress)
    _print(report, done)
    garbage = done.garbage
    report.result(
        {
            "collected": done.collected,
            "kept": [{"release": kept.number, "why": kept.why} for kept in garbage.kept],
            "releases": list(garbage.releases),
            "tables": [*garbage.tables, *garbage.pasts],
            "versions": {table: list(numbers) for table, numbers in garbage.versions.items()},
            "objects": [*garbage.moves, *garbage.objects],
            "busy": list(done.busy),
            "bytes_before": done.bytes_before,
            "bytes_after": done.bytes_after,
        }
    )


def _print(report: Reporter, done: "GcReport") -> None:
    garbage = done.garbage
    goes = "removed" if done.collected else "would be removed"
    report.table("kept releases", [{"release": kept.number, "why": kept.why} for kept in garbage.kept])
    num_versions = sum(map(len, garbage.versions.values()))
    report.table(
        goes,
        [
            {"what": "releases", "number": len(garbage.releases)},
            {"what": "tables of abandoned specs", "number": len(garbage.tables) + len(garbage.pasts)},
            {"what": "replaced versions of tables", "number": num_versions},
            {
                "what": "snapshots, reports, codebooks, moves",
                "number": len(garbage.objects) + len(garbage.moves),
            },
        ],
    )
    for table in (*garbage.tables, *garbage.pasts):
        report.say(f"{goes}: table {table}")
    for table in done.busy:
        report.say(f"left alone: {table}, a job is writing it")
    mib = 2**20
    size = f"the store takes {done.bytes_before / mib:,.1f} MiB"
    report.say(f"{size}, now {done.bytes_after / mib:,.1f} MiB" if done.collected else size)
