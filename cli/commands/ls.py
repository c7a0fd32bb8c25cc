"""``featurestore ls``: what the store holds."""

from pathlib import Path

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter


def ls(*, project: ProjectOption = Path(), as_json: JsonOption = False) -> None:
    """List the store's source tables, features and releases."""
    from cli.damage_view import warn_damaged
    from cli.project import open_project
    from featurestore.overview import list_features

    report = Reporter(as_json=as_json)
    found = list_features(open_project(project).store)
    report.say(f"store: {found.uri}")
    report.table("source tables", [{"table": name, "rows": rows} for name, rows in found.sources.items()])
    report.table(
        "features",
        [
            {
                "kind": row.kind,
                "feature": row.feature,
                "view": row.view,
                "rows": row.rows,
                "failed": row.failed,
                "spec": row.spec,
                "releases": _numbers(row.releases, newest=row.newest_released),
            }
            for row in found.features
        ],
    )
    report.table(
        "releases",
        [
            {
                "release": row.number,
                "created": row.created_at,
                "tables": row.tables,
                "aliases": ", ".join(row.aliases) or "-",
            }
            for row in found.releases
        ],
    )
    warn_damaged(report, found.damaged)
    report.result(found.as_dict())


def _numbers(releases: tuple[int, ...], *, newest: bool) -> str:
    if not releases:
        return "-"
    shown = ", ".join(str(number) for number in releases[-5:])
    more = "… " if len(releases) > 5 else ""
    return f"{more}{shown}{'' if newest else ' (older rows)'}"
