"""``featurestore rollback``: make an alias name the release that it named before."""

from pathlib import Path
from typing import Annotated

import typer

from cli.alias_view import show_alias
from cli.options import AliasOption, JsonOption, ProjectOption
from cli.report import Reporter


def rollback(
    *,
    alias: AliasOption = "production",
    to: Annotated[
        int | None, typer.Option("--to", min=1, help="Release to go back to; the one before if not given.")
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Make an alias name an earlier release again; once more goes further back."""
    from cli.project import open_project
    from featurestore.releases.promote import rollback as run_rollback

    report = Reporter(as_json=as_json)
    show_alias(report, run_rollback(open_project(project).store, alias=alias, to=to))
