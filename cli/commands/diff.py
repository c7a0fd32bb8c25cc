"""``featurestore diff``: what differs between two releases."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter


def diff(
    before: Annotated[str, typer.Argument(help="Release number or alias to start from.")],
    after: Annotated[str, typer.Argument(help="Release number or alias to compare with it.")] = "production",
    *,
    features: Annotated[
        list[str] | None,
        typer.Option("--feature", help="Compare only this feature, or feature.view. May be repeated."),
    ] = None,
    limit: Annotated[
        int,
        typer.Option("--limit", "-n", min=0, help="Texts and moved entities to show per feature."),
    ] = 10,
    html: Annotated[
        Path | None, typer.Option("--html", help="Page to write as well, replaced if it exists.")
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Show what differs between two releases: counts, gates, texts, vectors, neighbours, semantic ids."""
    from cli.diff_view import show_diff
    from cli.pages import check_page
    from cli.project import open_project
    from featurestore.diff.page import render_page
    from featurestore.diff.releases import diff_releases

    if html is not None:
        check_page(html)
    report = Reporter(as_json=as_json)
    store = open_project(project).store
    with report.progress("diff") as progress:
        found = diff_releases(store, before, after, features=features or None, limit=limit, progress=progress)
    show_diff(report, found)
    if html is not None:
        html.write_text(render_page(found), encoding="utf-8")
        report.say(f"the same as a page: {html}")
    report.result(found.as_dict() | ({"page": str(html)} if html is not None else {}))
