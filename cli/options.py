"""Options that several commands share, declared once."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

ProjectOption: TypeAlias = Annotated[
    Path, typer.Option("--project", "-C", help="Folder that holds featurestore.toml.")
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
ReleaseOption: TypeAlias = Annotated[
    str, typer.Option("--release", "-r", help="Release number or alias to read.")
]
AliasOption: TypeAlias = Annotated[str, typer.Option("--alias", help="Alias to move.")]
SeedOption: TypeAlias = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random draw.")]
