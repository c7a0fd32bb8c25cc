"""Documents say what the code says."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from cli.main import app
from featurestore import errors


def _commands() -> Iterator[tuple[str, Any]]:
    root = typer.main.get_command(app)
    for name, command in getattr(root, "commands", {}).items():
        yield name, command
        for inner, leaf in getattr(command, "commands", {}).items():
            yield f"{name} {inner}", leaf


COMMANDS = dict(_commands())


def _script(root: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, root / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("document", "script"),
    [("docs/cli.md", "write_cli_docs"), ("docs/results/speed.md", "write_results")],
)
def test_written_documents_are_up_to_date(project_root: Path, document: str, script: str) -> None:
    stored = (project_root / document).read_text(encoding="utf-8")
    assert stored == _script(project_root, script).render(), "run `make docs`"


def test_every_file_of_a_command_is_wired(project_root: Path) -> None:
    modules = (path.stem for path in (project_root / "cli/commands").glob("*.py"))
    files = {stem.rstrip("_").replace("_", "-") for stem in modules if not stem.startswith("__")}
    assert files == {name for name in COMMANDS if " " not in name}
    assert len(files) >= 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_every_option_has_a_help_sentence(name: str) -> None:
    command = COMMANDS[name]
    assert command.help, name
    for parameter in command.params:
        text = getattr(parameter, "help", None)
        assert text, f"{name}: {parameter.name} has no help"
        assert text.rstrip().endswith((".", ")", "?")), f"{name}: {parameter.name}: {text!r} is no sentence"


def test_every_exit_code_is_documented(project_root: Path) -> None:
    text = (project_root / "docs/cli.md").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    raised = {
        value.exit_code
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.FeatureStoreError)
    }
    assert documented == raised | {0, 130, 143}


def test_links_between_documents_lead_somewhere(project_root: Path) -> None:
    documents = [project_root / "README.md", *sorted((project_root / "docs").rglob("*.md"))]
    checked = 0
    for document in documents:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                checked += 1
                assert (document.parent / target).exists(), f"{document.name} links to {target}"
    assert checked >= 5


def test_documents_name_files_that_exist(project_root: Path) -> None:
    text = (project_root / "docs/architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:featurestore|llm_jobs|tests|cli|recommender|prompts)/[\w/.]+\.\w+)`", text))
    assert len(named) >= 8
    assert sorted(name for name in named if not (project_root / name).exists()) == []
