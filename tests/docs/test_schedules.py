"""The schedules of docs/operations.md: each is what its reader parses, and starts a command that exists."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import which
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import typer
import yaml

from cli.main import app
from featurestore.errors import FeatureStoreError

_RETRIED = {6, 7, 143}
_PROGRAM = "/opt/featurestore/bin/featurestore"


def _blocks(root: Path, language: str) -> list[str]:
    text = (root / "docs/operations.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def _check_command(words: list[str]) -> None:
    """The words after the program are options and a command of ours."""
    command: Any = typer.main.get_command(app)
    assert words[0] == "--log-json" or words[0] == "refresh"
    words = words[1:] if words[0] == "--log-json" else words
    assert words[0] == "refresh"
    known = {option for parameter in command.commands["refresh"].params for option in parameter.opts}
    asked = {word for word in words[1:] if word.startswith("-")}
    assert "--canary" in asked
    assert asked <= known


def _final_codes() -> set[int]:
    """Exit codes of errors that another try does not mend and a refresh can meet."""
    seen, waiting = set[int](), [FeatureStoreError]
    while waiting:
        error = waiting.pop()
        seen.add(error.exit_code)
        waiting += error.__subclasses__()
    return seen - _RETRIED - {13}


def test_cron_has_five_fields_a_user_and_our_command(project_root: Path) -> None:
    (block,) = _blocks(project_root, "crontab")
    variable, job = block.splitlines()
    assert re.fullmatch(r"[A-Z]+=\S+", variable)
    fields = re.fullmatch(r"((?:\d+|\*) ){5}(?P<user>[a-z]+) (?P<command>.+)", job)
    assert fields is not None
    assert "%" not in fields["command"], "cron turns a bare % into a new line"
    program, *words = fields["command"].partition(" 2>>")[0].split()
    assert program == _PROGRAM
    _check_command(words)
    assert subprocess.run(["bash", "-n", "-c", fields["command"]], check=False).returncode == 0


def _units(root: Path) -> dict[str, str]:
    blocks = _blocks(root, "ini")
    return {re.match(r"# \S*/(\S+)\n", block)[1]: block for block in blocks}  # type: ignore[index]


def test_systemd_retries_what_may_pass_and_nothing_else(project_root: Path) -> None:
    service = _units(project_root)["featurestore-refresh.service"]
    prevented = re.search(r"^RestartPreventExitStatus=(.*)$", service, re.MULTILINE)
    assert prevented is not None
    assert set(map(int, prevented[1].split())) == _final_codes()
    started = re.search(rf"^ExecStart={_PROGRAM} (.*)$", service, re.MULTILINE)
    assert started is not None
    _check_command(started[1].split())


@pytest.mark.skipif(which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_accepts_service_and_timer(project_root: Path, tmp_path: Path) -> None:
    for name, unit in _units(project_root).items():
        # Of the machine, which is not the one that it is written for: a program and a user that are there.
        there = unit.replace(_PROGRAM, sys.executable).replace("User=shop\n", "")
        (tmp_path / name).write_text(there)
    paths = sorted(map(str, tmp_path.iterdir()))
    assert len(paths) == 2
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True, check=False
    )
    assert "featurestore-refresh" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


class _FailAtOnce(Exception):  # noqa: N818 stands for Airflow's
    pass


def _run_dag(code: str, exit_code: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the file with the names of Airflow that it imports, and its task as Airflow's worker would."""
    found: dict[str, Any] = {"runs": []}

    def dag(**options: Any) -> Callable[[Callable[[], None]], Callable[[], None]]:
        found["dag"] = options
        return lambda function: function

    def task(**options: Any) -> Callable[[Callable[[], None]], Callable[[], None]]:
        found["task"] = options
        return lambda function: function

    def run(words: list[str], *, check: bool) -> SimpleNamespace:
        found["runs"].append(words)
        return SimpleNamespace(returncode=exit_code)

    sdk, exceptions = ModuleType("airflow.sdk"), ModuleType("airflow.sdk.exceptions")
    vars(sdk).update(dag=dag, task=task)
    vars(exceptions).update(AirflowFailException=_FailAtOnce)
    for name, module in (("airflow", ModuleType("airflow")), (sdk.__name__, sdk)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, exceptions.__name__, exceptions)
    monkeypatch.setattr(subprocess, "run", run)
    exec(compile(code, "dag.py", "exec"), {"__name__": "dag"})
    return found


def test_airflow_runs_it_once_a_night_and_retries_what_may_pass(
    project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = _blocks(project_root, "python")
    found = _run_dag(code, 0, monkeypatch)
    assert found["dag"]["max_active_runs"] == 1
    assert found["task"]["retries"] > 0
    ((program, *words),) = found["runs"]
    assert program == _PROGRAM
    _check_command(words)
    for exit_code in _RETRIED:
        with pytest.raises(RuntimeError, match=f"ended with {exit_code}"):
            _run_dag(code, exit_code, monkeypatch)
    for exit_code in _final_codes():
        with pytest.raises(_FailAtOnce, match=f"ended with {exit_code}"):
            _run_dag(code, exit_code, monkeypatch)


def test_kubernetes_runs_it_alone_and_gives_it_time_to_flush(project_root: Path) -> None:
    documents = [yaml.safe_load(block) for block in _blocks(project_root, "yaml")]
    (manifest,) = [found for found in documents if isinstance(found, dict)]
    assert (manifest["apiVersion"], manifest["kind"]) == ("batch/v1", "CronJob")
    assert manifest["spec"]["concurrencyPolicy"] == "Forbid"
    job = manifest["spec"]["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never", "a pod failure policy asks for it"
    assert pod["terminationGracePeriodSeconds"] >= 60
    (container,) = pod["containers"]
    (codes,) = [rule["onExitCodes"] for rule in job["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert codes["containerName"] == container["name"]
    assert set(codes["values"]) == _final_codes()
    program, *words = container["command"]
    assert program == "featurestore"
    _check_command(words)
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
