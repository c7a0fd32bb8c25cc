"""``--set KEY=VALUE`` and ``--list-settings`` of the commands that train."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from cli.report import Reporter
from featurestore.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel

SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE of the model, such as learning_rate=0.01. May be repeated."),
]


ListSettingsOption: TypeAlias = Annotated[
    bool, typer.Option("--list-settings", help="Show what --set can set, and do nothing else.")
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


def show_settings(
    reporter: Reporter,
    what: str,
    config_type: "type[BaseModel]",
    *,
    given: Mapping[str, str] | None = None,
    **facts: object,
) -> None:
    """What ``--set`` can set.

    Args:
        reporter: Shows a table, and says the same as data.
        what: Whose settings.
        config_type: Whose fields they are.
        given: Values in the place of the fields' defaults.
        facts: Said beside them in data.
    """
    defaults = {name: str(field.default) for name, field in config_type.model_fields.items()} | dict(
        given or {}
    )
    rows = [
        {"setting": name, "default": defaults[name], "meaning": field.description or ""}
        for name, field in config_type.model_fields.items()
    ]
    reporter.table(f"Settings of {what}", rows)
    reporter.result({**facts, "settings": rows})
