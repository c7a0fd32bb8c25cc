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
ViewOption: TypeAlias = Annotated[
    str | None, typer.Option("--view", help="View of it; by default the only one, else fused, else text.")
]
FallbackOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--fallback", help="Feature for items without a vector, made by the same encoder."),
]
ThreadsOption: TypeAlias = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads to train with; by default all.")
]
