"""The report of a refresh holds the code that the command ends with, whatever ended it."""

import errno
from pathlib import Path

import pytest
from refresh_world import SilentWatch, make_shop, run_night

from cli import main
from cli.stop_signals import Terminated
from featurestore.errors import UsageError
from featurestore.stores.memory import MemoryStore
from llm_jobs.refresh import RefreshReport


@pytest.mark.parametrize(
    ("error", "status", "exit_code"),
    [
        (KeyboardInterrupt(), "stopped", 130),
        (Terminated(), "stopped", 143),
        (UsageError("no"), "failed", 2),
        (OSError(errno.ENOSPC, "No space left on device", "x"), "failed", 10),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "failed", 4),
        (ZeroDivisionError(), "failed", 1),
    ],
)
def test_the_report_says_what_the_command_ends_with(
    tmp_path: Path, error: BaseException, status: str, exit_code: int
) -> None:
    def stop(_report: object) -> None:
        raise error

    told: list[RefreshReport] = []
    with pytest.raises(type(error)):
        run_night(MemoryStore(), tmp_path, make_shop(2, 2, 2), watch=SilentWatch(stop), told=told.append)
    assert (told[0].status, told[0].exit_code) == (status, exit_code)
    found = main._report(error)
    assert found is None or found.exit_code == exit_code
