"""What a command's end looks like: messages, exit codes, signals."""

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cli.main import run

STAND_IN = """
import errno, sys, time, weakref
from typing import Annotated
import typer
import cli.main
from cli.options import JsonOption
from featurestore.errors import GateFailedError

@cli.main.app.command("boom")
def boom(kind: str, as_json: JsonOption = False) -> None:
    "Fail in the way that is asked for."
    if kind == "gate":
        raise GateFailedError("coverage is 0.10, at least 0.90 was expected.", hint="Generate the rest.")
    if kind == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "/store/tables")
    if kind == "full-unnamed":
        raise OSError(errno.ENOSPC, "No space left on device")
    if kind == "path":
        open("/dev/null/no/such", "w")
    if kind == "other":
        raise ZeroDivisionError("not foreseen")
    if kind == "abort":
        raise typer.Abort
    if kind == "wait":
        try:
            print("ready", flush=True)
            time.sleep(60)
        finally:
            print("flushed", flush=True)
    if kind == "callback":
        def dies():
            thing = type("Thing", (), {})()
            reference = weakref.ref(thing, lambda _: (print("ready", flush=True), time.sleep(60)))
            del thing
            return reference
        try:
            dies()  # what the signal raises in the callback is dropped
            time.sleep(60)
        finally:
            print("flushed", flush=True)

@cli.main.app.command("count")
def count(number: Annotated[int, typer.Argument(min=1)]) -> None:
    "Count."
    print(number)

sys.argv[0] = "featurestore"
cli.main.main()
"""


def _start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STAND_IN), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _outcome(*words: str) -> tuple[int | None, str, str]:
    with _start(*words) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_product_errors_end_with_their_exit_code_and_hint() -> None:
    code, out, err = _outcome("boom", "gate")
    assert (code, out) == (5, "")
    assert err == "error: coverage is 0.10, at least 0.90 was expected.\n  Generate the rest.\n"


def test_json_errors_are_one_object_on_standard_output() -> None:
    code, out, _ = _outcome("boom", "gate", "--json")
    assert code == 5
    assert json.loads(out) == {
        "error": {
            "type": "GateFailedError",
            "message": "coverage is 0.10, at least 0.90 was expected.",
            "hint": "Generate the rest.",
            "exit_code": 5,
        }
    }


def test_a_full_disk_is_named() -> None:
    code, _, err = _outcome("boom", "full")
    assert code == 10
    assert err.startswith("error: no space left on the device (/store/tables).\n  Free some space")


def test_a_full_disk_that_the_system_does_not_name_is_not_guessed() -> None:
    code, _, err = _outcome("boom", "full-unnamed")
    assert code == 10
    assert err.startswith(
        "error: no space left on the device (that of the project, of its store or of an output file).\n"
    )


def test_a_path_that_the_system_refuses_is_named() -> None:
    code, out, err = _outcome("boom", "path", "--json")
    assert code == 4
    assert err == (
        "error: /dev/null/no/such cannot be used: not a directory.\n"
        "  Name another path, or see that this one may be read and written.\n"
    )
    assert json.loads(out)["error"]["type"] == "SetupError"


def test_an_unforeseen_error_keeps_its_traceback_and_is_still_json() -> None:
    code, out, err = _outcome("boom", "other", "--json")
    assert code == 1
    assert "Traceback" in err
    assert json.loads(out)["error"] == {
        "type": "ZeroDivisionError",
        "message": "not foreseen",
        "hint": "",
        "exit_code": 1,
    }


def test_not_confirming_ends_with_1() -> None:
    assert _outcome("boom", "abort")[::2] == (1, "error: not confirmed: nothing was done.\n")


@pytest.mark.parametrize("kind", ["wait", "callback"])
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_signal_unwinds_the_command_and_says_what_is_kept(
    number: signal.Signals, code: int, word: str, kind: str
) -> None:
    with _start("boom", kind) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert out == "flushed\n"
    assert err == f"error: {word}; what was flushed is kept, run the command again to go on.\n"


def test_an_unknown_command_names_the_nearest() -> None:
    code, _, err = _outcome("bom")
    assert code == 2
    assert err.startswith("error: unknown command 'bom'. Did you mean 'boom'? Known: ")
    assert "count" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["boom"], "error: Missing argument 'kind'.\n  See: featurestore boom --help\n"),
        (["boom", "gate", "--tet"], "error: No such option: --tet\n  See: featurestore boom --help\n"),
        (["count", "0"], "error: Invalid value for 'number': "),
    ],
)
def test_usage_errors_end_with_2_and_name_the_help(words: list[str], message: str) -> None:
    code, out, err = _outcome(*words)
    assert (code, out) == (2, "")
    assert err.startswith(message)


def test_no_command_shows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert capsys.readouterr().err.startswith("error: featurestore needs a command.\n  Usage: featurestore")


def test_version_and_help_succeed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("cot-featurestore ")
    assert run(["--help"]) == 0
    assert "Text features written by LLMs" in capsys.readouterr().out


def test_the_console_script_is_installed() -> None:
    script = Path(sys.executable).with_name("featurestore")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("cot-featurestore ")
