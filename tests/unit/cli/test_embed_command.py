import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cli.main import run


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Four items, the last without any text, and the three views that echo wrote of them."""
    items = [{"item_id": f"i{n}", "title": f"Kettle {n % 2}" if n < 3 else None} for n in range(4)]
    pl.DataFrame(items).write_parquet(tmp_path / "items.parquet")
    tmp_path.joinpath("featurestore.toml").write_text(
        '[ingest]\nitems = "items.parquet"\n[encode]\nencoder = "hashing"\n'
    )
    assert run(["ingest", "-C", str(tmp_path)]) == 0
    assert run(["generate", "--prompt", "item_cot", "--model", "echo", "-C", str(tmp_path)]) == 0
    capsys.readouterr()
    return tmp_path


def _views(project: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    assert run(["embed", "-C", str(project), "--json", *arguments]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["encoder"]["name"] == "hashing"
    return {view["view"]: view for view in outcome["views"]}


def test_plain_text_is_built_and_equal_texts_are_encoded_once(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = _views(project, capsys, "--feature", "item_text")["text"]
    assert (text["num_texts"], text["num_encoded"], text["num_reused"]) == (3, 2, 1)
    assert text["num_failed_texts"] == 1
    again = _views(project, capsys, "--feature", "item_text")["text"]
    assert (again["num_encoded"], again["num_current"]) == (0, 3)


def test_all_views_are_encoded_unless_some_are_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = _views(project, capsys, "--feature", "item_cot", "--view", "fused", "--view", "fused")
    assert named.keys() == {"fused"}
    assert _views(project, capsys, "--feature", "item_cot").keys() == {"backward", "forward", "fused"}
    assert run(["embed", "-C", str(project), "--feature", "item_cot"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Vectors\n")
    assert "item_cot.fused" in printed


def test_wrong_names_list_the_known_ones(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["embed", "-C", str(project), "--feature"]
    assert run([*asked, "item_cott"]) == 2
    assert "unknown text feature 'item_cott'. Did you mean 'item_cot'?" in capsys.readouterr().err
    assert run([*asked, "item_cot", "--view", "fuse"]) == 2
    assert "unknown view of 'item_cot' 'fuse'. Did you mean 'fused'?" in capsys.readouterr().err
    assert run([*asked, "item_cot", "--encoder", "hash"]) == 2
    message = capsys.readouterr().err
    assert "unknown encoder 'hash'. Did you mean 'hashing'?" in message
    assert "minilm" in message
