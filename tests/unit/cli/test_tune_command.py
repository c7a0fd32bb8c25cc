"""``featurestore tune recmind``: from a project to published vectors, and what it says when it cannot."""

import json
import shutil
from pathlib import Path

import pytest
from aligned_world import ITEMS, fill
from tuning_world import decoder_entry

from cli.main import run
from featurestore.reader import open_store
from featurestore.stores import connect

_QUICK = ["--set", "epochs=1", "--set", "lora_rank=2", "--set", "held_out_share=0.2"]


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A released store, and a tiny decoder as the project's encoder."""
    pytest.importorskip("peft")
    entry = decoder_entry(tmp_path / "base").model_dump(exclude_none=True, exclude={"alias"})
    lines = [f"{name} = {json.dumps(value)}" for name, value in entry.items()]
    (tmp_path / "featurestore.toml").write_text(
        "\n".join(['[encode]\nencoder = "tiny"', "[encoders.tiny]", *lines]) + "\n"
    )
    fill(connect(str(tmp_path / "store")))
    capsys.readouterr()
    return tmp_path


def test_an_adapter_is_tuned_its_vectors_are_released_and_new_texts_encoded(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["tune", "recmind", "-C", str(project), "--items", "item_notes", "--users", "user_notes"]
    assert run([*command, *_QUICK, "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["num_examples"] == 58 + 20
    assert outcome["after"].keys() == {"item", "user"}
    assert [side["num_written"] for side in outcome["stored"]] == [72, 24]

    assert run(["publish", "-C", str(project)]) == 0
    assert run(["releases", "show", "2", "-C", str(project)]) == 0
    shown = capsys.readouterr().out
    assert "recmind.item" in shown
    assert "recmind.user" in shown
    vectors = open_store(str(project / "store")).release("production").embeddings("recmind", "item")
    assert vectors.ids == sorted(ITEMS)
    assert vectors.encoder.adapter == outcome["adapter"]

    assert run([*command, "--adapter", outcome["adapter"][:8]]) == 0
    assert "recmind.item: 72 vectors" in capsys.readouterr().out
    assert run([*command, "--adapter", outcome["adapter"][:8], *_QUICK]) == 2
    assert "--set can set device only" in capsys.readouterr().err
    ignored = ["--vectors", "lightgcn", "--seed", "0", "--release", "1"]
    assert run([*command, "--adapter", outcome["adapter"][:8], *ignored]) == 2
    said = capsys.readouterr().err
    assert "--adapter tunes nothing: --vectors, --seed, --release would have no effect." in said


def test_a_copy_of_an_adapter_embeds_under_its_name_and_names_its_events(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tune = ["tune", "recmind", "-C", str(project), "--items", "item_notes", "--json"]
    assert run([*tune, *_QUICK, "--set", "max_steps=1"]) == 0
    adapter = json.loads(capsys.readouterr().out)["adapter"]
    shutil.copytree(project / "store" / "adapters" / adapter, project / "adapter")
    with (project / "featurestore.toml").open("a") as config:
        config.write('adapter = "adapter"\n')
    assert run(["embed", "-C", str(project), "--feature", "item_notes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["encoder"]["adapter"] == adapter
    assert run(["publish", "-C", str(project)]) == 0
    release = open_store(str(project / "store")).release("production")
    pin = release.pin("vector", "item_notes", "text")
    assert release.manifest.split is not None
    assert pin.event_sets == (release.manifest.split.event_set(),)
    assert len(pin.artefacts) == 4


def test_wrong_words_and_things_that_are_absent_end_with_their_codes(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["tune", "recmind", "-C", str(project)]
    cases = [
        ([], 2, "--items or --users must name a text feature"),
        (["--items", "item_note"], 2, "unknown text feature 'item_note'. Did you mean 'item_notes'?"),
        (["--items", "item_notes", "--vectors", "lightgc"], 2, "unknown vector feature 'lightgc'"),
        (["--items", "item_notes", "--set", "lora_rnk=2"], 2, "Did you mean 'lora_rank'"),
        (["--items", "item_notes", "--set", "precision=bfloat16"], 2, "bfloat16 needs device=cuda"),
        (["--items", "item_notes", "--set", "target_modules=w_q"], 2, "unknown target module 'w_q'"),
        (["--items", "item_notes", "--encoder", "hashing"], 2, "pools by 'hashing', which cannot be tuned"),
        (["--items", "item_notes", "--release", "9"], 7, "the store has no release or alias '9'"),
        (["--items", "item_notes", "--adapter", "ff"], 2, "unknown adapter 'ff'"),
    ]
    for arguments, code, message in cases:
        assert run([*command, *arguments]) == code, arguments
        assert message in capsys.readouterr().err


def test_settings_are_listed_with_their_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tune", "recmind", "--list-settings"]) == 0
    printed = capsys.readouterr().out
    assert "temperature" in printed
    assert "Linear maps of every block that are adapted" in printed
