import json
from pathlib import Path

import pytest

from cli.main import run

_OWN = """
[models.my-model]
repo = "me/my-model"
context = 2048
memory_gib = 0.5
disk_gib = 0.2
folder = "weights"
"""


def test_it_lists_what_every_alias_needs_and_whether_it_runs_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "-C", str(tmp_path), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    models = {row["alias"]: row for row in listed["models"]}
    assert models["echo"]["here"] == "built in"
    assert models["deepseek-r1-14b"]["repository"] == "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"
    assert (
        float(models["deepseek-r1-32b"]["memory GiB"]) > float(models["deepseek-r1-14b"]["memory GiB"]) > 28
    )
    assert {row["alias"] for row in listed["encoders"]} >= {"hashing", "minilm", "easyrec-roberta-large"}
    assert listed["machine"].startswith("this machine has ")


def test_a_projects_own_entries_are_listed_with_folders_of_the_project(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def listed() -> list[str]:
        assert run(["models", "-C", str(tmp_path)]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "my-model" in line]
        return line.split()[:3]

    tmp_path.joinpath("featurestore.toml").write_text(_OWN, encoding="utf-8")
    assert listed() == ["my-model", "folder", "missing"]
    (tmp_path / "weights").mkdir()
    assert listed() == ["my-model", "own", "folder"]
    tmp_path.joinpath("featurestore.toml").write_text(_OWN.replace("context", "contxt"), encoding="utf-8")
    assert run(["models", "-C", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "[models.my-model] in featurestore.toml cannot be used: " in message
    assert "Keys of an entry: " in message
