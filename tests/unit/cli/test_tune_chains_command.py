"""``featurestore tune chains``: from answers of a project to a model by name, and what it refuses."""

import json
from pathlib import Path

import pytest
from chains_world import INSTRUCTIONS, fill, write_prompt, writer_entry

from cli.main import run
from featurestore.stores import connect

_QUICK = [
    "--set",
    "epochs=1",
    "--set",
    "lora_rank=2",
    "--set",
    "judged_answers=2",
    "--set",
    "held_out_share=0.2",
]


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A released store with answers, a tiny writer as the project's model, and general instructions."""
    pytest.importorskip("peft")
    entry = writer_entry(tmp_path / "base").model_dump(exclude_none=True, exclude={"alias"})
    lines = [f"{name} = {json.dumps(value)}" for name, value in entry.items() if not isinstance(value, dict)]
    (tmp_path / "featurestore.toml").write_text(
        "\n".join(['[generate]\nmodel = "tiny"', "[models.tiny]", *lines]) + "\n"
    )
    fill(connect(str(tmp_path / "store")), write_prompt(tmp_path), tmp_path / ".featurestore")
    rows = [{"instruction": each.question, "output": each.output} for each in INSTRUCTIONS]
    (tmp_path / "general.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    capsys.readouterr()
    return tmp_path


def test_a_model_is_tuned_pure_and_mixed_and_generates_by_its_name(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["tune", "chains", "-C", str(project), "--texts", "item_kind", "--name", "shop"]
    general = ["--general", str(project / "general.jsonl")]
    assert run([*command, *general, *_QUICK, "--against-pure", "--json"]) == 0
    pure, mixed = json.loads(capsys.readouterr().out)["models"]
    assert [pure["name"], mixed["name"]] == ["shop-pure", "shop"]
    assert (pure["num_chains"], pure["num_general"]) == (19, 0)
    assert (mixed["num_chains"], mixed["num_general"]) == (19, 19)
    assert pure["before"] == mixed["before"]
    assert mixed["before"]["answers"]["num_answers"] == 2

    assert run([*command, *general, *_QUICK]) == 0
    printed = capsys.readouterr().out
    assert "shop: 19 chains and 19 instructions learned from in 3 steps" in printed
    assert f"adapter {mixed['adapter'][:16]}" in printed
    assert "loss of general texts" in printed
    assert "warning" not in printed

    assert run(["generate", "-C", str(project), "-p", "item_kind", "-m", "shop", "-n", "1", "--json"]) in {
        0,
        5,
        9,
    }
    assert (project / ".featurestore" / "adapters" / mixed["adapter"] / "adapter_config.json").is_file()
    assert run(["plan", "-C", str(project), "-p", "item_kind", "-m", "shopping"]) == 2
    assert "unknown model 'shopping'" in capsys.readouterr().err


def test_a_file_that_is_too_small_for_the_share_is_warned_of(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"instruction": each.question, "output": each.output} for each in INSTRUCTIONS[:5]]
    (project / "few.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    command = ["tune", "chains", "-C", str(project), "--texts", "item_kind", *_QUICK, "--set", "max_steps=1"]
    assert run([*command, "--general", str(project / "few.jsonl"), "--json"]) == 0
    captured = capsys.readouterr()
    # Of 5 instructions a fifth is held out; a half beside 19 chains would be 19.
    warning = "general_share asks for 19 instructions, and 4 were there to learn from: the share is 0.174"
    assert f"warning: {warning}" in captured.err
    (told,) = json.loads(captured.out)["models"]
    assert (told["num_general"], told["num_general_wanted"]) == (4, 19)
    assert told["general_share"] == pytest.approx(4 / 23)


def test_wrong_words_and_things_that_are_absent_end_with_their_codes(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["tune", "chains", "-C", str(project)]
    pure = ["--set", "general_share=0"]
    texts = ["--texts", "item_kind"]
    (project / "broken.jsonl").write_text("{")
    given = ["--general", str(project / "general.jsonl")]
    config = project / "featurestore.toml"
    tiny = config.read_text().partition("[models.tiny]")[2]
    config.write_text(f"{config.read_text()}\n[models.tin-pure]{tiny}")
    cases = [
        ([], 2, "--texts must name a text feature that a prompt wrote"),
        ([*texts], 2, "general_share is 0.5, but no general instructions were named"),
        ([*texts, *pure, "--against-pure"], 2, "--against-pure compares with a mixture"),
        ([*texts, *pure, "--name", "echo"], 2, "'echo' is a model already"),
        ([*texts, "--against-pure", *given, "--name", "tin"], 2, "'tin-pure' is a model already"),
        ([*texts, *pure, "--set", "head_learning_rate=0.1"], 2, "nothing learns beside the adapter here"),
        ([*texts, *pure, "--model", "echo"], 2, "runs on the engine 'echo', which loads no adapters"),
        ([*texts, "--general", str(project / "broken.jsonl")], 3, "line 1: not JSON"),
        (["--texts", "item_kinds", *pure], 2, "unknown text feature 'item_kinds'"),
        ([*texts, *pure, "--set", "general_shar=0"], 2, "Did you mean 'general_share'"),
        ([*texts, *pure, "--set", "target_modules=w_q"], 2, "unknown target module 'w_q'"),
        ([*texts, *pure, "--release", "9"], 7, "the store has no release or alias '9'"),
    ]
    for arguments, code, message in cases:
        assert (run([*command, *arguments]), arguments) == (code, arguments)
        assert message in capsys.readouterr().err


def test_settings_of_chains_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tune", "chains", "--list-settings"]) == 0
    assert "Share of general instructions among the examples" in capsys.readouterr().out
