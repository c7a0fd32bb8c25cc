"""A consumer with the core dependencies alone reads a release that somebody else published."""

import json
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from cli.main import run

pytestmark = [pytest.mark.packaging, pytest.mark.slow, pytest.mark.timeout(1200)]


def _published_store(folder: Path, root: Path) -> Path:
    """The demo's shop with echo texts, hashed vectors and a user graph, released as ``production``."""
    data = folder / "data"
    subprocess.run(
        [sys.executable, root / "examples/demo/sample.py", data], check=True, capture_output=True, timeout=120
    )
    project = ["-C", str(folder)]
    assert run(["init", str(folder)]) == 0
    config = folder / "featurestore.toml"
    text, replaced = re.subn(
        r"^#? ?codebook_size = .*", "codebook_size = 16", config.read_text(), flags=re.MULTILINE
    )
    assert replaced == 1
    config.write_text(text, encoding="utf-8")
    commands = [
        ["ingest", *project, "--items", str(data / "items.jsonl"), "--users", str(data / "users.csv"),
         "--interactions", str(data / "interactions.csv")],
        ["generate", *project, "--prompt", "item_cot", "--model", "echo", "--limit", "40"],
        ["embed", *project, "--feature", "item_cot", "--encoder", "hashing"],
        ["embed", *project, "--feature", "item_text", "--encoder", "hashing"],
        ["graph", *project, "--feature", "item_text"],
        ["semantic-ids", *project, "--feature", "item_text"],
        ["publish", *project],
        ["publish", *project, "--no-promote", "--feature", "item_text"],
    ]  # fmt: skip
    for command in commands:
        assert run(command) == 0, command
    return folder / "store"


def _build(folder: Path, into: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(into), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)


def _run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _check_reader(found: dict[str, object]) -> None:
    install = "Install it with: pip install 'cot-featurestore[{}]'"
    assert found == {
        "mapped": True,
        "absent": ["unheard-of"],
        "batch": 3,
        "arrow rows": 0,
        "polars rows": 0,
        "ids again": ["P0002", "P0001"],
        "text": ["P0001"],
        "neighbours": True,
        "nodes": 0,
        "edges": 2,
        "entity of its code": ["P0001"],
        "torch": install.format("train"),
        "dataset": install.format("train"),
        "duckdb": install.format("duckdb"),
    }


def test_a_consumer_needs_the_core_only(project_root: Path, tmp_path: Path) -> None:
    store = _published_store(tmp_path / "project", project_root)
    _build(project_root, tmp_path / "wheels")
    _build(project_root / "examples/consumer", tmp_path / "wheels")
    clean = tmp_path / "clean"
    venv.create(clean, with_pip=True)
    python = clean / "bin/python"
    wheels = sorted((tmp_path / "wheels").glob("*.whl"))
    assert len(wheels) == 2
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run(*pip, *wheels, "-c", project_root / "constraints.txt", cwd=tmp_path)

    absent = "torch vllm transformers sentence_transformers safetensors duckdb"
    found = f"from importlib.util import find_spec; print([n for n in '{absent}'.split() if find_spec(n)])"
    assert _run(python, "-c", found, cwd=tmp_path) == "[]\n"

    printed = _run(
        clean / "bin/similar-items",
        store,
        "--item",
        "P0001",
        "--user",
        "U0001",
        "--count",
        "3",
        cwd=tmp_path,
    ).splitlines()
    assert printed[0].startswith("release 1: like ")
    assert len([line for line in printed[1:4] if line.startswith(("  0.", "  1."))]) == 3
    assert printed[4] == "users near U0001"
    assert len(printed) == 8
    similar = _run(
        clean / "bin/similar-items", store, "--item", "P0002", "--feature", "item_cot", cwd=tmp_path
    )
    assert len(similar.splitlines()) == 6

    probe = Path(__file__).with_name("read_everything.py")
    _check_reader(json.loads(_run(python, probe, store, cwd=tmp_path)))
    page = tmp_path / "diff.html"
    command = [clean / "bin/featurestore", "diff", "1", "2", "--html", page, "-C", store.parent]
    assert re.search(r"text +item_cot\.fused .* removed", _run(*command, cwd=tmp_path))
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")

    version = _run(clean / "bin/featurestore", "--version", cwd=tmp_path)
    assert version.startswith("cot-featurestore ")
    listed = _run(clean / "bin/featurestore", "prompts", "ls", "-C", store.parent, cwd=tmp_path)
    assert "item_cot" in listed
