"""``--adapter`` of the commands that tune: a stored adapter encodes, and whatever would tune is refused."""

from collections.abc import Collection, Sequence

import typer

from featurestore.errors import UsageError


def check_beside_adapter(
    context: typer.Context, adapter: str | None, *, settings: Collection[str], without_effect: Sequence[str]
) -> None:
    """Refuse, beside ``--adapter``, what it would ignore.

    Args:
        context: Of the command, which knows what was given.
        adapter: What ``--adapter`` names; None allows everything.
        settings: Names that ``--set`` sets.
        without_effect: Parameters of the command that are of tuning alone.

    Raises:
        UsageError: If one was given, be it at its default; all of them are named.
    """
    if adapter is None:
        return
    if set(settings) - {"device"}:
        raise UsageError("--adapter takes the settings that it was tuned with: --set can set device only.")
    given = [f"--{name.replace('_', '-')}" for name in without_effect if _was_given(context, name)]
    if given:
        raise UsageError(
            f"--adapter tunes nothing: {', '.join(given)} would have no effect.",
            hint="Leave out either. The newest texts of the store are encoded, as the adapter was tuned.",
        )


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"
