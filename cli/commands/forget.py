"""``featurestore forget``: remove users from every release, table and file of the store."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter

if TYPE_CHECKING:
    from featurestore.forget import ForgetReport


def forget(
    users: Annotated[list[str], typer.Option("--user", "-u", help="User id to forget. May be repeated.")],
    *,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Forget users: releases that hold something about them are replaced by redacted ones.

    This cannot be undone. Remove the users from the files that you ingest first, or the next ingest brings
    them back. Run it again if it was interrupted.
    """
    from cli.project import open_project
    from cli.sources import ingest_request
    from featurestore.forget import ForgetRequest
    from featurestore.forget import forget as run_forget
    from recommender.fitted import models_fitted_on

    report = Reporter(as_json=as_json)
    opened = open_project(project)
    request = ForgetRequest(
        user_ids=tuple(users),
        project=opened.root,
        work_folder=opened.work_folder,
        sources=ingest_request(opened),
        trained_on=partial(models_fitted_on, opened.root),
    )
    with report.progress("forget") as progress:
        done = run_forget(opened.store, request, progress=progress)
    for place in done.unknown:
        nothing = "" if done.found_something else ": nothing found"
        report.say(f"user {users[place]!r} is unknown here, or was forgotten before{nothing}")
    _print(report, done)
    report.result(done.as_dict())


def _print(report: Reporter, done: "ForgetReport") -> None:
    report.table("removed", [{"table": table, "rows": rows} for table, rows in sorted(done.rows.items())])
    report.table(
        "superseded: erasure",
        [{"release": old, "redacted as": new} for old, new in sorted(done.releases.items())],
    )
    for alias, number in sorted(done.aliases.items()):
        report.say(f"alias {alias!r} now names release {number}")
    report.say(
        f"{done.answers:,} cached answers dropped; names taken out of {done.reports:,} reports, "
        f"{done.segments:,} segments and {done.logs:,} logs"
    )
    report.table("retrain: these learned from them", [{"what": what} for what in done.retrain])
    if done.searched_files:
        report.say(f"no version of a table and none of {done.searched_files:,} files of the store names them")
    else:
        report.say(
            "no version of a table names them; short ids and mere numbers are not searched for in bytes"
        )
    if done.still_named_in or not done.not_searched:
        report.table(
            "files of the project that still name them", [{"file": name} for name in done.still_named_in]
        )
    if done.still_named_in:
        report.say("remove the users there: an ingest of such a file brings them back")
    for name in done.not_searched:
        report.say(f"not searched: {name}")
