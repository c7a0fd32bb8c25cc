"""``featurestore show``: the texts of one feature."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter
from featurestore import columns as c

if TYPE_CHECKING:
    from featurestore.overview import ShownTexts


def show(
    feature: Annotated[str, typer.Argument(help="Name of a text feature, such as item_cot.")],
    *,
    view: Annotated[
        str | None, typer.Option("--view", help="View to show; by default fused, text, or the only one.")
    ] = None,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Show the row of this id. May be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows to show if no --id is given.")] = 10,
    release: Annotated[
        str | None,
        typer.Option("--release", "-r", help="Release number or alias to read; by default the newest rows."),
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Show the texts of a feature with their outcome, and what made them."""
    from cli.project import open_project
    from featurestore.overview import show_texts

    report = Reporter(as_json=as_json)
    store = open_project(project).store
    shown = show_texts(store, feature, view=view, ids=ids or None, limit=limit, release=release)
    _print(report, shown)
    report.result(
        {
            "spec": shown.spec.model_dump(mode="json"),
            "digest": shown.spec.digest,
            "version": shown.version,
            "total": shown.total,
            "rows": shown.rows.to_dicts(),
        }
    )


def _print(report: Reporter, shown: "ShownTexts") -> None:
    spec = shown.spec
    report.say(f"{spec.feature}.{spec.view}: {len(shown.rows):,} of {shown.total:,} rows")
    made_by = spec.model_dump(mode="json", exclude={"feature", "view", "kind", "output_schema"})
    report.say(f"spec {spec.digest}")
    for name, value in made_by.items():
        if value not in (None, "", [], ()):
            report.say(f"  {name}: {_short(value)}")
    for row in shown.rows.iter_rows(named=True):
        report.say(f"\n{row[c.ID]}  [{_outcome(row)}]")
        report.say(row[c.TEXT] if row[c.STATUS] == c.STATUS_OK else _short(row[c.RAW]))


def _outcome(row: dict[str, Any]) -> str:
    known = [row[c.STATUS], row[c.REASON], row[c.EVENT_SET], row[c.ENGINE]]
    return ", ".join(part for part in known if part)


def _short(value: object) -> str:
    match value:
        case None:
            return "(no output)"
        case dict():
            text = ", ".join(f"{name} {part}" for name, part in value.items() if part not in (None, ""))
        case list() | tuple():
            text = ", ".join(str(part) for part in value)
        case _:
            text = str(value)
    return text if len(text) <= 300 else f"{text[:300]}… ({len(text):,} characters)"
