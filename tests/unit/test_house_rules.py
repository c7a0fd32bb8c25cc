"""Rules of the house that no linter of a single file can see."""

import json
import resource
import subprocess
import sys
from pathlib import Path

HEAVY = {
    "torch",
    "vllm",
    "lancedb",
    "lance",
    "faiss",
    "transformers",
    "sentence_transformers",
    "ray",
    "boto3",
    "polars",
    "pyarrow",
    "numpy",
}
"""What `featurestore --help` must not pay for."""


def _loaded(code: str, root: Path) -> set[str]:
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root, timeout=120
    )
    return {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


def test_importing_the_command_line_loads_no_heavy_library(project_root: Path) -> None:
    assert _loaded("import cli.main", project_root) & HEAVY == set()


def test_help_of_the_program_and_of_every_command_stays_light(project_root: Path) -> None:
    code = """
import cli.main
from cli.commands import COMMANDS, GROUPS
for words in [[], *[[name] for name in (*COMMANDS, *GROUPS)]]:
    cli.main.app([*words, "--help"], standalone_mode=False)
"""
    assert _loaded(code, project_root) & HEAVY == set()


def test_help_answers_in_half_a_second() -> None:
    """Processor time, the least of three: a busy machine must not fail it."""

    def cost() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [Path(sys.executable).with_name("featurestore"), "--help"]
        subprocess.run(command, capture_output=True, check=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(cost() for _ in range(3)) < 0.5


def test_import_contracts_hold(project_root: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        capture_output=True,
        text=True,
        cwd=project_root,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
