"""``featurestore promote``: make an alias name a release."""

from pathlib import Path
from typing import Annotated

import typer

from cli.alias_view import show_alias
from cli.options import AliasOption, JsonOption, ProjectOption
from cli.report import Reporter


def promote(
    *,
    release: Annotated[str, typer.Argument(help="Release number, or an alias such as canary.")],
    alias: AliasOption = "production",
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Make an alias name a release. Readers that open it from now on get this release."""
    from cli.project import open_project
    from featurestore.releases.promote import promote as run_promote

    report = Reporter(as_json=as_json)
    show_alias(report, run_promote(open_project(project).store, release, alias=alias))
