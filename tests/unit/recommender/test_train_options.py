"""Options of ``train`` and ``search`` on a store in a folder."""

import json
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from safetensors.numpy import load_file
from toy_store import QUICK, add_vectors, fill

from cli.main import run
from cli.stop_signals import take_signals
from featurestore.gates.policy import GatePolicy
from featurestore.releases.publish import publish
from featurestore.stores import connect

SETTINGS = [word for name, value in QUICK.items() for word in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "featurestore.toml").write_text('[store]\nuri = "store"\n')
    fill(connect(str(folder / "store")), folder)
    return folder


@contextmanager
def signals_taken() -> Iterator[None]:
    """As in a process of its own."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    hook = sys.unraisablehook
    take_signals()
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def test_settings_are_listed_with_their_meaning(capsys):
    assert run(["train", "lightgcn", "--list-settings", "--json"]) == 0
    settings = {row["setting"]: row for row in json.loads(capsys.readouterr().out)["settings"]}
    assert settings["num_layers"]["default"] == "3"
    assert settings["fusion"]["meaning"] == "How vectors of a release join ID embeddings."
    assert all(row["meaning"] for row in settings.values())
    assert run(["train", "lightgcm", "--list-settings"]) == 2
    assert "lightgcn" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "word", "code"), [(signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "terminated", 143)]
)
def test_stopped_training_is_resumed_to_the_same_weights(project, number, word, code, monkeypatch, capsys):
    words = ["train", "lightgcn", "-C", str(project), "--features", "item_cot", "--fusion", "gate", *SETTINGS]

    def interrupt(_line: object, done: int, total: int, note: str = "") -> None:
        del total, note
        if done == 12:
            signal.raise_signal(number)

    assert run([*words, "-o", str(project / "whole")]) == 0
    shutil.rmtree(project / "stopped", ignore_errors=True)
    with monkeypatch.context() as patch, signals_taken():
        patch.setattr("cli.report._ProgressLine.__call__", interrupt)
        patch.setattr("cli.stop_signals._arrived", threading.Event())
        assert run([*words, "-o", str(project / "stopped")]) == code
        said = f"{word}; the best epoch so far is saved, the same command with --resume goes on"
        assert said in capsys.readouterr().err
    assert run([*words, "-o", str(project / "stopped"), "--set", "reg=0.5", "--resume"]) == 2
    assert "belongs to another training run" in capsys.readouterr().err
    assert run([*words, "-o", str(project / "stopped"), "--resume"]) == 0
    whole, resumed = (load_file(project / n / "weights.safetensors") for n in ("whole", "stopped"))
    for name, array in whole.items():
        np.testing.assert_array_equal(array, resumed[name], err_msg=name)
    assert not list(project.glob(".*.checkpoint*"))
    history = json.loads((project / "stopped" / "config.json").read_text())["history"]
    assert [record["epoch"] for record in history] == [10, 20, 30]


def test_a_checkpoint_of_another_release_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "featurestore.toml").write_text('[store]\nuri = "store"\n')
    store = connect(str(tmp_path / "store"))
    fill(store, tmp_path)
    words = ["train", "lightgcn", "-C", str(tmp_path), *SETTINGS, "-o", str(tmp_path / "stopped")]

    def interrupt(_line: object, done: int, total: int, note: str = "") -> None:
        del total, note
        if done == 12:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cli.report._ProgressLine.__call__", interrupt)
        assert run(words) == 130
    checkpoint = tmp_path / ".stopped.checkpoint.safetensors"
    before = checkpoint.read_bytes()
    capsys.readouterr()
    add_vectors(store, tmp_path, "other_text", range(15), encoder="toy")
    publish(store, gates=GatePolicy())
    assert run([*words, "--resume"]) == 2
    said = capsys.readouterr().err
    assert f"{checkpoint} belongs to another training run" in said
    assert "release" in said
    assert checkpoint.read_bytes() == before
    assert run([*words, "--release", "1", "--resume"]) == 0
    assert not checkpoint.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fusion", "gate"], "need --features or --user-features"),
        (["--set", "fusion=gate"], "need --features or --user-features"),
        (["--features", "item_cot", "--fusion", "glue"], "fusion: Input should be 'replace', 'add'"),
        (["--user-features", "item_cot"], "'item_cot' describes items; user features were expected"),
        (["--fallback", "item_text"], "--view and --fallback need --features"),
        (["--set", "device=cuda"], "torch finds no CUDA device"),
        (["--set", "precision=bfloat16"], "precision=bfloat16 needs device=cuda"),
        (
            ["--epochs", "3", "--set", "warmup_epochs=4"],
            "warmup_epochs=4 is above epochs=3, and the learning rate",
        ),
        (
            ["--features", "item_cot", "--fusion", "none", "--features-control", "shuffled"],
            "with fusion=none lightgcn reads no vectors, and --features-control shuffled would train",
        ),
    ],
)
def test_what_does_not_fit_is_said(project, words, message, capsys):
    assert run(["train", "lightgcn", "-C", str(project), "-o", str(project / "x"), *words]) != 0
    assert message in capsys.readouterr().err
    assert not (project / "x").exists()


def test_no_fusion_needs_no_features(project):
    words = ["train", "lightgcn", "-C", str(project), "-o", str(project / "unfused"), *SETTINGS]
    assert run([*words, "--set", "fusion=none"]) == 0


def test_training_that_ends_before_the_first_validation_says_that_nothing_is_kept(
    project, monkeypatch, capsys
):
    def interrupt(_line: object, done: int, total: int, note: str = "") -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.report._ProgressLine.__call__", interrupt)
    words = ["train", "lightgcn", "-C", str(project), "-o", str(project / "none"), *SETTINGS]
    assert run(words) == 130
    assert "the model in training had not been validated yet and is not kept" in capsys.readouterr().err
    assert not (project / "none").exists()


def test_search_prints_settings_to_train_with(project, capsys):
    pairs = zip(SETTINGS[::2], SETTINGS[1::2], strict=True)
    fixed = [word for pair in pairs if "learning_rate" not in pair[1] for word in pair]
    words = ["search", "lightgcn", "-C", str(project), "-n", "3", *fixed]
    assert run(words) == 0
    shown = capsys.readouterr().out
    assert "Validation, best 3 of 3 trials" in shown
    assert "Train with: featurestore train lightgcn --set" in shown
    assert "--set learning_rate=" in shown
    printed = shlex.split(shown.partition("Train with: ")[2].splitlines()[0])
    assert printed[-5:] == ["0", "--release", "production", "-C", str(project)]
    assert run([*printed[1:], "-o", str(project / "found")]) == 0
    capsys.readouterr()
    assert run([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["num_known"], len(report["trials"]), report["monitor"]) == (3, 3, "ndcg@10")
    assert len((project / "searches" / "lightgcn.jsonl").read_text().splitlines()) == 3


def test_one_model_and_models_of_several_seeds_do_not_take_each_others_place(project, capsys):
    words = ["train", "lightgcn", "-C", str(project), *SETTINGS]
    assert run([*words, "-o", str(project / "many"), "--seeds", "2"]) == 0
    assert run([*words, "-o", str(project / "many")]) == 2
    assert "holds models of several seeds" in capsys.readouterr().err
    assert run([*words, "-o", str(project / "one")]) == 0
    assert run([*words, "-o", str(project / "one"), "--seeds", "2"]) == 2
    assert "is a single model; models of several seeds cannot lie in it" in capsys.readouterr().err
    assert (project / "many" / "seed-1" / "config.json").exists()


def test_resuming_trains_no_finished_seed_again(project, monkeypatch, capsys):
    words = ["train", "lightgcn", "-C", str(project), "-o", str(project / "seeds"), "--seeds", "2", *SETTINGS]
    calls = []

    def interrupt(_line: object, done: int, total: int, note: str = "") -> None:
        del total, note
        calls.append(done)
        if len(calls) == 42:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cli.report._ProgressLine.__call__", interrupt)
        assert run(words) == 130
    capsys.readouterr()
    first = (project / "seeds" / "seed-0" / "config.json").stat().st_mtime_ns
    assert run([*words, "--resume", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [(m["seed"], m["fit"]["epochs"]) for m in report["models"]] == [(0, 30), (1, 30)]
    assert (project / "seeds" / "seed-0" / "config.json").stat().st_mtime_ns == first
