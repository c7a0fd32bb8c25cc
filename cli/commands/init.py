"""``featurestore init``: a new project."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption
from cli.report import Reporter


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the project; made if need be.")] = Path(),
    *,
    as_json: JsonOption = False,
) -> None:
    """Write a commented featurestore.toml, a prompts folder and a .gitignore."""
    from cli.scaffold import create_project

    reporter = Reporter(as_json=as_json)
    written = create_project(folder)
    for path in written:
        reporter.say(f"wrote {path}")
    reporter.say("Next: name your files in featurestore.toml, then run `featurestore ingest`.")
    reporter.result({"written": [str(path) for path in written]})
