"""The three commands on a store in a folder: what they print, and how they end."""

import json

import pytest
from toy_store import QUICK, fill

from cli.main import run
from featurestore.errors import MissingVersionError
from featurestore.stores import connect
from recommender.evaluation.compare import open_saved

SETTINGS = [word for name, value in QUICK.items() for word in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "featurestore.toml").write_text('[store]\nuri = "store"\n')
    fill(connect(str(folder / "store")), folder)
    return folder


@pytest.fixture(scope="module")
def model(project):
    words = ["--features", "item_cot", "--fallback", "item_text", "--seeds", "2", "--threads", "1"]
    assert run(["train", "lightgcn", "-C", str(project), "-o", str(project / "m"), *words, *SETTINGS]) == 0
    return project / "m"


def test_train_prints_validation_beside_popularity(project, capsys):
    assert run(["train", "popularity", "-C", str(project), "--json"]) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert (project / "models" / "popularity" / "config.json").exists()
    assert report["models"][0]["validation"] == report["popularity"]
    assert "Validation, full ranking" in captured.err


def test_interrupted_training_saves_its_best_epoch_and_ends_with_one_object(project, capsys, monkeypatch):
    def interrupt(_line: object, done: int, total: int, note: str = "") -> None:
        del total, note
        if done == 12:
            raise KeyboardInterrupt

    monkeypatch.setattr("cli.report._ProgressLine.__call__", interrupt)
    folder = project / "stopped"
    assert run(["train", "lightgcn", "-C", str(project), "-o", str(folder), *SETTINGS, "--json"]) == 130
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["type"] == "Interrupted"
    assert (
        "interrupted; the best epoch so far is saved, the same command with --resume goes on" in captured.err
    )
    assert (folder / "config.json").exists()


def test_evaluate_averages_seeds_and_adds_popularity(project, model, capsys):
    assert run(["evaluate", str(model), "-C", str(project), "--release", "production"]) == 0
    shown = capsys.readouterr().out
    assert "Release 1: 30 test pairs of 30 users" in shown
    assert "Test NDCG" in shown
    assert "±" in shown
    assert "popularity" in shown
    assert run(["evaluate", str(model), "-C", str(project), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["results"][0]["means"]) == {
        f"{name}@{k}" for name in ("hr", "recall", "ndcg", "mrr", "map") for k in (5, 10, 20)
    }
    assert report["results"][0]["num_seeds"] == 2


def test_recommend_shows_titles_and_texts(project, model, capsys):
    words = ["recommend", "--model", str(model / "seed-0"), "-C", str(project)]
    assert run([*words, "--user", "u3", "-k", "12"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("User u3: 4 items so far")
    assert "Item 2  (i2, " in shown
    assert "     Sturdy, but loud." in shown
    assert run([*words, "--user", "u999"]) == 2
    assert "has no user 'u999' among its 31 users" in capsys.readouterr().err


def test_recommend_writes_all_lists(project, model, capsys):
    words = ["recommend", "--model", str(model / "seed-0"), "-C", str(project)]
    assert run([*words, "--write", "-k", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_rows"] == 31 * 5
    assert run(words) == 2
    assert "say either --user ID or --write" in capsys.readouterr().err
    assert run([*words, "--user", "u1", "--name", "shown"]) == 2
    assert "--name names stored lists: it needs --write" in capsys.readouterr().err


def test_a_model_whose_release_is_gone_is_trained_again(project, model):
    class Gone:
        def release(self, name: str) -> None:
            raise MissingVersionError(f"release {name} is gone.", hint="Read release 3.")

    with pytest.raises(
        MissingVersionError, match=r"release 1 is gone\.\n  Train lightgcn again, on a release"
    ):
        open_saved(model / "seed-0", Gone(), None)
    with pytest.raises(MissingVersionError, match=r"release 7 is gone\.\n  Read release 3"):
        open_saved(model / "seed-0", Gone(), "7")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lightgcm"], "unknown model 'lightgcm'. Did you mean 'lightgcn'?"),
        (["lightgcn", "--set", "epoch=1"], "unknown setting 'epoch'. Did you mean 'epochs'?"),
        (["lightgcn", "--set", "epochs"], "--set is KEY=VALUE, got 'epochs'"),
        (["lightgcn", "--fallback", "x"], "need --features"),
        (["lightgcn", "--optimistic-validation"], "--optimistic-validation need --features"),
        (["lightgcn", "-f", "item_cot", "--features-control", "shufled"], "Did you mean 'shuffled'?"),
        (["lightgcn", "-f", "item_ct"], "unknown vector feature 'item_ct'. Did you mean 'item_cot'?"),
    ],
)
def test_wrong_words_are_refused_with_the_nearest(project, capsys, words, message):
    assert run(["train", *words, "-C", str(project)]) == 2
    assert message in capsys.readouterr().err
