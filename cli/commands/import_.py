"""``featurestore import``: texts or vectors made elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter
from featurestore.errors import UnknownNameError

if TYPE_CHECKING:
    from featurestore.spec import Entity


def import_(
    *,
    feature: Annotated[str, typer.Option("--feature", "-f", help="Name of the feature.")],
    table: Annotated[Path, typer.Option("--table", help="Parquet, JSON lines or CSV file that holds it.")],
    key: Annotated[str, typer.Option("--key", help="Column of item or user ids.")],
    producer: Annotated[str, typer.Option("--producer", help="Who or what made it, in your words.")],
    text: Annotated[str | None, typer.Option("--text", help="Column of texts.")] = None,
    vector: Annotated[
        str | None, typer.Option("--vector", help="Column of vectors, as lists of numbers.")
    ] = None,
    entity: Annotated[str, typer.Option("--entity", help="Whom it describes: item or user.")] = "item",
    events: Annotated[
        str | None,
        typer.Option(
            "--events",
            help="SPLIT:PART it was made from: current:train, current:train+valid, …, or "
            "log:2014-07-01 for all before that day; users need it.",
        ),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="What made the vectors; one name is one embedding space.")
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Make a feature version of texts or vectors that were made elsewhere."""
    from cli.project import open_project
    from featurestore.imports import import_feature

    entities: dict[str, Entity] = {"item": "item", "user": "user"}
    if entity not in entities:
        raise UnknownNameError("entity", entity, entities)
    opened = open_project(project)
    reporter = Reporter(as_json=as_json)
    report = import_feature(
        opened.store,
        feature=feature,
        table=table,
        key=key,
        text=text,
        vector=vector,
        producer=producer,
        entity=entities[entity],
        events=events,
        encoder_name=encoder,
    )
    reporter.say(
        f"{report.kind} feature {report.feature!r}: {report.kept:,} of {report.read:,} rows, "
        f"{report.coverage:.1%} of the store's {report.entity}s."
    )
    if report.quarantined:
        rows = [
            {"reason": reason, "rows": count, "such as": ", ".join(report.examples.get(reason, []))}
            for reason, count in report.quarantined.items()
        ]
        reporter.table("Left out", rows)
    if not report.is_new:
        reporter.say("The store held this very version already.")
    reporter.result(report.as_dict())
