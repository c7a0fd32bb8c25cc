"""``featurestore semantic-ids`` on a project on disk, from imported vectors."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cli.main import run

SECTION = "[semantic_ids]\nnum_levels = 2\ncodebook_size = 4\n"


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Twenty items with vectors, and small codebooks."""
    items = [f"i{number:02}" for number in range(20)]
    table = {"item_id": items, "title": [f"Item {name}" for name in items]}
    pl.DataFrame(table).write_csv(tmp_path / "items.csv")
    assert run(["init", str(tmp_path)]) == 0
    config = tmp_path / "featurestore.toml"
    lines = config.read_text(encoding="utf-8").split("[semantic_ids]\n")
    config.write_text(lines[0] + SECTION + lines[1][lines[1].index("beam_size") :], encoding="utf-8")
    assert run(["ingest", "-C", str(tmp_path), "--items", str(tmp_path / "items.csv")]) == 0
    import_vectors(tmp_path, items)
    capsys.readouterr()
    return tmp_path


def import_vectors(project: Path, items: Sequence[str], *, encoder: str = "x") -> None:
    rng = np.random.default_rng(7)
    vectors = {item: rng.normal(size=6).astype(np.float32).tolist() for item in sorted(items)}
    pl.DataFrame({"item_id": list(vectors), "v": list(vectors.values())}).write_parquet(project / "v.parquet")
    words = ["import", "-C", str(project), "-f", "made", "--table", str(project / "v.parquet")]
    described = ["--key", "item_id", "--vector", "v", "--producer", "a test", "--encoder", encoder]
    assert run([*words, *described]) == 0


def test_ids_are_made_once_and_again_on_request(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["semantic-ids", "-C", str(project), "-f", "made", "--json"]
    assert run(command) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["view"], first["version"], first["trained"], first["changed"]) == ("text", 1, True, True)
    assert (first["num_new"], first["num_coded"], first["churn"]) == (20, 20, None)
    assert (first["quality"]["num_entities"], len(first["quality"]["levels"])) == (20, 2)
    assert run(command) == 0
    second = json.loads(capsys.readouterr().out)
    assert (second["version"], second["trained"], second["changed"]) == (1, False, False)
    assert second["churn"]["num_moved"] == 0
    assert run([*command, "--codebook", "new"]) == 0
    third = json.loads(capsys.readouterr().out)
    assert (third["trained"], third["warm_start"]) == (True, first["codebook"])
    assert run([*command, "--codebook", first["codebook"][:12]]) == 0
    back = json.loads(capsys.readouterr().out)
    assert (back["codebook"], back["table"], back["trained"]) == (first["codebook"], first["table"], False)


def test_people_see_use_collisions_and_moves(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["semantic-ids", "-C", str(project), "-f", "made"]
    assert run(command) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("made.text: 2 levels of 4 codes, version 1\ncodebooks ")
    assert ", trained\nSemantic ids\n" in shown
    assert "share their codes with another" in shown
    assert "Levels, measured on 20 entities\n" in shown
    assert "neighbour purity" in shown
    assert run(command) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("made.text: 2 levels of 4 codes, unchanged\ncodebooks ")
    assert ", as before\n" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-f", "mad"], "unknown vector feature 'mad'. Did you mean 'made'? Known: made."),
        (["-f", "made", "--view", "fused"], "unknown view of vector feature 'made' 'fused'. Known: text."),
        (["-f", "made", "--codebook", "old"], "unknown codebook 'old'. Known: current, new."),
    ],
)
def test_wrong_names_list_the_known_ones(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run(["semantic-ids", "-C", str(project), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_change_of_options_asks_for_new_codebooks(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["semantic-ids", "-C", str(project), "-f", "made"]
    assert run(command) == 0
    config = project / "featurestore.toml"
    config.write_text(
        config.read_text(encoding="utf-8").replace("codebook_size = 4", "codebook_size = 6"), encoding="utf-8"
    )
    assert run(command) == 2
    assert "semantic_ids.codebook_size: codebook_size must be a power of two" in capsys.readouterr().err
    config.write_text(
        config.read_text(encoding="utf-8").replace("codebook_size = 6", "codebook_size = 8"), encoding="utf-8"
    )
    assert run(command) == 2
    refused = capsys.readouterr().err
    assert "the current codebooks of made.text have codebook_size 4 (asked for: 8)." in refused
    assert run([*command, "--codebook", "new"]) == 0
    assert "2 levels of 8 codes" in capsys.readouterr().out


def test_another_encoder_ends_with_the_stores_code(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["semantic-ids", "-C", str(project), "-f", "made"]
    assert run(command) == 0
    import_vectors(project, [f"i{number:02}" for number in range(20)], encoder="y")
    capsys.readouterr()
    assert run(command) == 7
    assert "were trained on vectors of 'x'" in capsys.readouterr().err
