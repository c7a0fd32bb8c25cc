"""``featurestore export``: a released feature as a file."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption, ProjectOption, ReleaseOption
from cli.report import Reporter
from featurestore import columns as c
from featurestore.errors import UnknownNameError


def export(
    *,
    feature: Annotated[str, typer.Option("--feature", help="Feature to export, such as item_cot.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .parquet or .npy.")],
    view: Annotated[
        str | None, typer.Option("--view", help="View to export; by default fused, text, or the only one.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", help="text, vector, graph or codes; by default text for .parquet, vector for .npy."
        ),
    ] = None,
    allow_parts: Annotated[
        list[str] | None,
        typer.Option("--allow-part", help="Split part whose events may have been read. May be repeated."),
    ] = None,
    release: ReleaseOption = "production",
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write texts, vectors, a graph or semantic ids of a release as Parquet, or vectors as npy with ids."""
    from cli.project import open_project
    from featurestore.export import EXPORT_KINDS, export_feature
    from featurestore.reader import FeatureStore

    if kind is not None and kind not in EXPORT_KINDS:
        raise UnknownNameError("kind", kind, EXPORT_KINDS)
    report = Reporter(as_json=as_json)
    opened = FeatureStore(open_project(project).store).release(release)
    done = export_feature(
        opened,
        feature,
        out=out,
        view=view,
        kind=kind,
        allow_parts=tuple(allow_parts or (c.TRAIN,)),
    )
    report.say(f"{done.rows:,} rows of {done.kind} {feature}.{done.view}, release {done.release}:")
    for file in done.files:
        report.say(f"  {file}")
    report.result(done.as_dict())
