"""``featurestore releases``: what was published, and which alias names it."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter

group = typer.Typer(
    help="List and show the releases of the store.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@group.command("ls")
def list_(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Releases at most, the newest.")] = 20,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """List releases, newest first: when they were made, what they hold, which aliases name them."""
    from cli.damage_view import warn_damaged
    from cli.project import open_project
    from featurestore.releases.listing import list_releases

    report = Reporter(as_json=as_json)
    found = list_releases(open_project(project).store, limit)
    report.table(
        "releases",
        [
            {
                "release": row.number,
                "created": row.created_at,
                "features": row.num_features,
                "changed": row.num_changed,
                "rows": row.num_rows,
                "carried": row.num_carried,
                "gates accepted": row.num_accepted,
                "aliases": ", ".join(row.aliases) or "-",
            }
            for row in found.releases
        ],
    )
    warn_damaged(report, found.damaged)
    report.result(asdict(found))


@group.command("show")
def show(
    *,
    release: Annotated[str, typer.Argument(help="Release number or alias.")] = "production",
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Show one release: what it pins, what was carried, what the gates said, which aliases named it."""
    from cli.project import open_project
    from featurestore.releases.listing import describe_release

    report = Reporter(as_json=as_json)
    found = describe_release(open_project(project).store, release)
    manifest = found.manifest
    parent = f", after release {manifest.parent}" if manifest.parent else ""
    report.say(f"release {manifest.number}, published {manifest.created_at}{parent}")
    report.say(f"written by version {manifest.product_version}, manifest format {manifest.format_version}")
    if manifest.split is not None:
        report.say(f"split {manifest.split.checksum[:16]} ({manifest.split.method})")
    report.table(
        "pinned",
        [
            {
                "kind": pin.spec.kind,
                "feature": pin.name,
                "spec": pin.spec.digest[:16],
                "version": pin.version,
                "rows": pin.num_rows,
                "failed": pin.num_failed,
                "changed": pin.table in found.changed,
                "carried from": pin.carried_from,
            }
            for pin in manifest.pins
        ],
    )
    if manifest.gates:
        accepted = sorted({gate.gate for gate in manifest.gates if gate.accepted})
        said = f"; a person accepted {', '.join(accepted)}" if accepted else ""
        report.say(
            f"{sum(gate.passed for gate in manifest.gates)} of {len(manifest.gates)} gates passed{said}"
        )
    report.table(
        "aliases",
        [{"alias": stay.alias, "from": stay.since, "until": stay.until or "now"} for stay in found.stays],
    )
    report.result(
        {
            "manifest": manifest.model_dump(mode="json"),
            "changed": list(found.changed),
            "aliases": [asdict(stay) for stay in found.stays],
        }
    )
