"""``featurestore publish``: the store's newest rows as a release."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter

if TYPE_CHECKING:
    from featurestore.releases.publish import PublishReport


def publish(
    *,
    alias: Annotated[str, typer.Option("--alias", help="Alias that will name the release.")] = "production",
    no_promote: Annotated[
        bool, typer.Option("--no-promote", help="Make the release, but leave every alias where it stands.")
    ] = False,
    features: Annotated[
        list[str] | None,
        typer.Option("--feature", help="Release only this feature, or feature.view. May be repeated."),
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            "--accept",
            help="Publish although this gate refuses, such as knn_churn; the release tells. May be repeated.",
        ),
    ] = None,
    incomplete: Annotated[
        bool,
        typer.Option(
            "--incomplete",
            help="Release features that are still being generated, not their last complete versions.",
        ),
    ] = False,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Check the gates, pin every table in a release, and point an alias to it."""
    from cli.gating import project_probe
    from cli.project import open_project
    from featurestore.releases.publish import publish as run_publish

    report = Reporter(as_json=as_json)
    opened = open_project(project)
    with report.progress("publish") as progress:
        done = run_publish(
            opened.store,
            gates=opened.config.gates,
            alias=None if no_promote else alias,
            features=features or None,
            probe=project_probe(opened),
            accepted_gates=accept or (),
            carry=not incomplete,
            progress=progress,
        )
    _print(report, done)
    report.result(
        {
            "release": done.manifest.number,
            "created": done.created,
            "alias": done.alias,
            "moved": done.moved,
            "left_out": list(done.left_out),
            "left_out_tuned": list(done.left_out_tuned),
            "carried": [asdict(feature) for feature in done.carried],
            "damaged": [asdict(release) for release in done.damaged],
            "manifest": done.manifest.model_dump(mode="json"),
        }
    )


def _print(report: Reporter, done: "PublishReport") -> None:
    from cli.damage_view import warn_damaged
    from cli.release_view import carried_lines, left_out_lines
    from featurestore.gates.rules import describe

    manifest = done.manifest
    report.table(
        "pinned",
        [
            {"kind": pin.spec.kind, "feature": pin.name, "rows": pin.num_rows, "failed": pin.num_failed}
            for pin in manifest.pins
        ],
    )
    left_out = left_out_lines(done.left_out, manifest.number, done.left_out_tuned)
    for line in (*left_out, *carried_lines(done.carried)):
        report.say(line)
    warn_damaged(report, done.damaged)
    if done.damaged:
        report.say("warning: no old version of a table was removed: a damaged release may pin it")
    accepted = [gate for gate in manifest.gates if gate.accepted]
    report.say(f"{len(manifest.gates) - len(accepted)} gates passed")
    for gate in accepted:
        report.say(f"accepted: {describe(gate)}")
    made = "published" if done.created else "holds exactly this already"
    report.say(f"release {manifest.number} {made}")
    if done.alias is None:
        report.say(f"no alias was moved; read it with --release {manifest.number}")
    elif done.moved:
        report.say(f"alias {done.alias!r} now names release {manifest.number}")
    else:
        report.say(f"alias {done.alias!r} names release {manifest.number} as before")
