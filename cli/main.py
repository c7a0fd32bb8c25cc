"""Entry point of ``featurestore``: wires the commands, turns errors into messages and exit codes."""

import errno
import os
import sys
from collections.abc import Sequence
from contextvars import copy_context
from importlib.metadata import version as installed_version
from typing import Annotated, Any, NoReturn

import typer
import typer.core

from cli.commands import COMMANDS, GROUPS
from cli.log import use_json_log
from cli.report import ErrorReport, Interrupted, print_error
from cli.stop_signals import INTERRUPTED, how_stopped, take_signals
from featurestore.errors import FeatureStoreError, SetupError, StorageFullError, UnknownNameError, own_words

_KEPT = "what was flushed is kept, run the command again to go on."
_ClickException = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
"""Base of every usage error; typer carries its own copy of click and exports only some of its classes."""


class _CommandGroup(typer.core.TyperGroup):
    """A group that lists its commands, nearest first, when it is given an unknown one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 -- click's types are private to typer
        """The command that ``args`` starts with.

        Raises:
            UnknownNameError: Listing the known commands.
        """
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise UnknownNameError("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="featurestore",
    cls=_CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name, cls=_CommandGroup)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cot-featurestore {installed_version('cot-featurestore')}")
        raise typer.Exit


@app.callback()
def _root(  # pyright: ignore[reportUnusedFunction]  # typer calls it
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
    ] = False,
    log_json: Annotated[
        bool,
        typer.Option("--log-json", help="Log to standard error as one JSON object a line, for machines."),
    ] = False,
) -> None:
    """Text features written by LLMs for recommenders: made offline, versioned, read by release."""
    del version
    use_json_log(wanted=log_json)


def main() -> NoReturn:
    """Run the command line and exit with the stable code of the outcome (see `featurestore.errors`)."""
    take_signals()
    # Lance warns on standard error of every table that it creates, which is what we asked it to do.
    os.environ.setdefault("LANCE_LOG", "error")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line, print its error if it has one, and return its exit code.

    It runs in a context of its own: what an option sets, such as ``--log-json``, ends with the command.
    """
    return copy_context().run(_run, arguments)


def _run(arguments: Sequence[str]) -> int:
    as_json = "--json" in arguments
    use_json_log(wanted=False)
    try:
        # Without standalone mode typer returns the code of an Exit, and 130 after Ctrl-C.
        outcome = app(list(arguments), prog_name="featurestore", standalone_mode=False)
        if outcome != INTERRUPTED:
            return outcome if isinstance(outcome, int) else 0
        report = _stopped()
    except BaseException as error:
        found = _report(error)
        if found is None:
            if as_json and isinstance(error, Exception):
                print_error(ErrorReport(type(error).__name__, str(error), 1), as_json=True)
            raise
        report = found
    print_error(report, as_json=as_json)
    return report.exit_code


def _report(error: BaseException) -> ErrorReport | None:
    """What to print of an error, or None if it is one that we did not foresee."""
    report = None
    if isinstance(error, FeatureStoreError):
        report = ErrorReport(type(error).__name__, error.message, error.exit_code, error.hint)
    elif isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        report = _full_disk(error)
    elif isinstance(error, OSError) and error.filename is not None and error.strerror:
        report = _refused_path(error)
    elif isinstance(error, KeyboardInterrupt):
        report = _stopped(error)
    elif isinstance(error, Interrupted):
        report = _stopped(error, str(error))
    elif isinstance(error, typer.Abort):
        report = ErrorReport("Aborted", "not confirmed: nothing was done.", 1)
    elif isinstance(error, _ClickException):
        report = _usage(error)
    return report


def _stopped(error: BaseException | None = None, kept: str = _KEPT) -> ErrorReport:
    how, exit_code = how_stopped(error)
    return ErrorReport(how.capitalize(), f"{how}; {kept}", exit_code)


def _full_disk(error: OSError) -> ErrorReport:
    place = error.filename or "that of the project, of its store or of an output file"
    return ErrorReport(
        StorageFullError.__name__,
        f"no space left on the device ({place}).",
        StorageFullError.exit_code,
        "Free some space and run the command again: it goes on where it stopped.",
    )


def _refused_path(error: OSError) -> ErrorReport:
    return ErrorReport(
        SetupError.__name__,
        f"{error.filename} cannot be used: {str(error.strerror).lower()}.",
        SetupError.exit_code,
        "Name another path, or see that this one may be read and written.",
    )


def _usage(error: BaseException) -> ErrorReport:
    """A wrong option or argument, with the command whose help says more."""
    context: typer.Context | None = getattr(error, "ctx", None)
    command = context.command_path if context else "featurestore"
    if type(error).__name__ == "NoArgsIsHelpError":
        return ErrorReport("UsageError", f"{command} needs a command.", 2, str(error))
    message = own_words(str(getattr(error, "format_message", error.__str__)()))
    return ErrorReport("UsageError", message, 2, f"See: {command} --help")


if __name__ == "__main__":
    main()
