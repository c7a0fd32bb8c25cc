"""``--set KEY=VALUE`` of the commands that train."""

from typing import Annotated, TypeAlias

import typer

from featurestore.errors import UsageError

SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE of the model, such as learning_rate=0.01. May be repeated."),
]


def parse_pairs(pairs: list[str]) -> dict[str, str]:
    """Settings by name.

    Raises:
        UsageError: If one is no ``KEY=VALUE``.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise UsageError(f"--set is KEY=VALUE, got {pair!r}.", hint="Such as --set learning_rate=0.01")
        values[name] = value
    return values
