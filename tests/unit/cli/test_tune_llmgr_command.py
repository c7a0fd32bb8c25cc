"""``featurestore tune llmgr``: both stages from a project, and what it says when it cannot."""

import json
from pathlib import Path

import pytest
from aligned_world import ITEMS
from session_world import QUICK, fill_sessions
from tuning_world import decoder_entry

from cli.main import run
from featurestore.reader import open_store
from featurestore.stores import connect
from recommender.data import load_training_data
from recommender.session.teacher_lists import load_teacher

_SETTINGS = {
    "lora_rank": 2,
    "max_steps": 2,
    "num_candidates": 3,
    "max_nodes": 3,
    "graph_token": "mean",
    "max_tokens": QUICK.max_tokens,
}
_QUICK = [word for name, value in _SETTINGS.items() for word in ("--set", f"{name}={value}")]


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A released store, and a tiny decoder as the project's encoder."""
    pytest.importorskip("peft")
    entry = decoder_entry(tmp_path / "base").model_copy(update={"max_tokens": 96})
    values = entry.model_dump(exclude_none=True, exclude={"alias"})
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    (tmp_path / "featurestore.toml").write_text(
        "\n".join(['[encode]\nencoder = "tiny"', "[encoders.tiny]", *lines]) + "\n"
    )
    fill_sessions(connect(str(tmp_path / "store")))
    capsys.readouterr()
    return tmp_path


def test_two_stages_end_in_vectors_and_lists(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["tune", "llmgr", "-C", str(project), "--items", "item_notes", "--vectors", "lightgcn", *_QUICK]
    assert run([*command, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["stage"], first["num_examples"], first["tuning"]["steps"]) == ("alignment", 72, 2)
    assert [side["num_written"] for side in first["stored"]] == [72]

    teacher = project / "teacher.safetensors"
    after = ["--stage", "behaviour", "--start", first["adapter"][:8], "--set", "max_examples=20", "-k", "3"]
    assert run([*command, *after, "--teacher", str(teacher), "--lists", "offline"]) == 0
    shown = capsys.readouterr().out
    assert "behaviour: 20 examples in 2 steps; loss " in shown
    assert f"lists of a teacher in {teacher}" in shown
    released = open_store(str(project / "store")).release("production")
    assert load_teacher(teacher, load_training_data(released)).items.shape == (120, 3)

    assert run(["publish", "-C", str(project)]) == 0
    capsys.readouterr()
    released = open_store(str(project / "store")).release("production")
    assert released.embeddings("llmgr", "item").ids == sorted(ITEMS)
    assert released.recommendations("offline").height == 3 * 120

    assert run([*command[:6], "--adapter", first["adapter"][:8]]) == 0
    assert "llmgr.item: 72 vectors" in capsys.readouterr().out


def test_wrong_words_end_with_their_codes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["tune", "llmgr", "-C", str(project)]
    items = ["--items", "item_notes"]
    behaviour = ["--vectors", "lightgcn", "--stage", "behaviour"]
    cases = [
        ([], 2, "--items must name the text feature that holds titles"),
        ([*items, "--stage", "alignmnt"], 2, "unknown stage 'alignmnt'. Did you mean 'alignment'?"),
        ([*items, "--lists", "a"], 2, "--teacher and --lists are of sessions"),
        ([*items, "--name", "llmgr.v2"], 2, "'llmgr.v2' cannot name a feature"),
        ([*items, "--name", ""], 2, "'' cannot name a feature"),
        ([*items, "--name", "../../x y", "--adapter", "ff"], 2, "'../../x y' cannot name a feature"),
        ([*items, *behaviour, "--lists", "a.b"], 2, "'a.b' cannot name a feature"),
        ([*items, *behaviour, "--teacher", str(project)], 2, f"{project} is a folder"),
        (
            [*items, *behaviour, "--teacher", str(project / "none" / "t")],
            2,
            f"{project / 'none' / 't'} cannot be written: there is no folder {project / 'none'}",
        ),
        ([*items, "--vectors", "lightgc"], 2, "unknown vector feature 'lightgc'"),
        (
            [*items, "--vectors", "lightgcn", "--stage", "behaviour", "--set", "max_tokens=96"],
            2,
            "graph_token=readout needs the model",
        ),
        (
            [*items, "--vectors", "lightgcn", "--set", "max_tokens=40"],
            3,
            "tokens without any title; 40 are read",
        ),
        (
            [*items, *behaviour, "--set", "sessions=titles", "--set", "graph_token=mean"],
            2,
            "sessions=titles reads no graphs: graph_token=mean would have no effect",
        ),
        (
            [*items, *behaviour, "--set", "texts=shuffled"],
            2,
            "texts=shuffled would have no effect: the stage behaviour reads no titles",
        ),
        ([*items, "--encoder", "minilm"], 2, "unknown vector feature 'gcsan'"),
    ]
    for arguments, code, message in cases:
        assert run([*command, *arguments]) == code, arguments
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "--start ff",
        "--teacher a",
        "--lists a",
        "--top-k 50",
        "--seed 0",
        "--base a",
        "--vectors gcsan",
        "--stage joint",
        "--release 1",
    ],
)
def test_what_a_stored_adapter_would_ignore_is_refused(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["tune", "llmgr", "--items", "item_notes", "--adapter", "ff"]
    assert run([*command, *words.split()]) == 2
    option = words.split(maxsplit=1)[0]
    assert f"--adapter tunes nothing: {option} would have no effect." in capsys.readouterr().err


def test_a_stored_adapter_keeps_its_settings(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["tune", "llmgr", "-C", str(project), "--items", "item_notes", "--adapter", "ff"]
    assert run([*command, "--set", "epochs=2"]) == 2
    assert "--set can set device only" in capsys.readouterr().err
    assert run([*command, "-k", "3", "--seed", "1"]) == 2
    assert "--adapter tunes nothing: --top-k, --seed would have no effect." in capsys.readouterr().err
    assert run([*command, "--set", "device=cpu", "--name", "other"]) == 2
    assert "unknown adapter 'ff'" in capsys.readouterr().err


def test_settings_are_listed_by_stage(capsys: pytest.CaptureFixture[str]) -> None:
    for stage, epochs in (("alignment", 1), ("behaviour", 3)):
        assert run(["tune", "llmgr", "--stage", stage, "--list-settings", "--json"]) == 0
        rows = {row["setting"]: row for row in json.loads(capsys.readouterr().out)["settings"]}
        assert rows["epochs"]["default"] == str(epochs)
        assert "titles" in rows["texts"]["meaning"].lower()
