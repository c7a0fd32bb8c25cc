"""The Kubernetes manifest of docs/scaling.md is YAML, and starts a command that exists."""

import re
from pathlib import Path
from typing import Any

import typer
import yaml

from cli.main import app


def _manifest(root: Path) -> dict[str, Any]:
    (text,) = re.findall(
        r"```yaml\n(.*?)```", (root / "docs/scaling.md").read_text(encoding="utf-8"), re.DOTALL
    )
    return yaml.safe_load(text)


def test_the_manifest_starts_a_command_with_options_it_has(project_root: Path) -> None:
    program, command, *words = _manifest(project_root)["spec"]["entrypoint"].split()
    assert (program, command) == ("featurestore", "generate")
    known = {
        option
        for parameter in typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
        for option in parameter.opts
    }
    asked = {word for word in words if word.startswith("--")}
    assert len(asked) >= 6
    assert asked <= known


def test_every_engine_has_a_machine(project_root: Path) -> None:
    spec = _manifest(project_root)["spec"]
    engines = int(re.search(r"--num-engines (\d+)", spec["entrypoint"])[1])  # type: ignore[index]
    (workers,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = workers["template"]["spec"]["containers"]
    gpus = int(container["resources"]["limits"]["nvidia.com/gpu"])
    assert workers["replicas"] * gpus == engines
