"""``featurestore train-generative``: from a store to lists in a release, whatever stops it in between."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from generative_world import tiny
from leak_world import add_item_vectors, events_of, ingested, published, random_histories, with_pins
from toy_store import fill

from cli.main import run
from featurestore.codes.build import build_codes
from featurestore.codes.generations import SemanticIdOptions
from featurestore.errors import InputError, LeakError, SetupError
from featurestore.gates.policy import GatePolicy
from featurestore.reader import FeatureStore, Release, open_store
from featurestore.releases.publish import publish
from featurestore.stores import connect
from recommender.data import load_histories, load_training_data
from recommender.experiment import TrainRequest
from recommender.generative import job
from recommender.generative.experiment import train_system
from recommender.generative.saved import load_generative

QUICK = {"epochs": "3", "eval_every": "1", "patience": "9"}
CODES = SemanticIdOptions(num_levels=3, codebook_size=8)
K, BATCH = 5, 4


def words(project: Path, *more: str, system: str = "isrf") -> list[str]:
    vectors = ["--features", "item_text"] if system == "isrf" else []
    asked = dict(word.split("=") for word in more if "=" in word)
    quick = tiny(system, **{**QUICK, **asked})
    settings = [word for name, value in quick.items() for word in ("--set", f"{name}={value}")]
    return ["train-generative", system, "-C", str(project), "--threads", "1", *vectors, *settings, *more]


def new_project(folder: Path) -> Path:
    folder.mkdir()
    (folder / "featurestore.toml").write_text('[store]\nuri = "store"\n', encoding="utf-8")
    fill(connect(str(folder / "store")), folder)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return new_project(tmp_path_factory.mktemp("generative") / "project")


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(job, "write_lists", partial(job.write_lists, batch_size=BATCH))


def stopping(label: str, at: int, error: type[BaseException]):
    """What draws progress, and ends the process's work at some point of one phase."""

    def told(line, done: int, total: int, note: str = "") -> None:
        del total, note
        if line._label == label and done == at:
            raise error("killed")

    return told


def data_of(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def published_lists(project: Path, name: str) -> list[dict]:
    store = connect(str(project / "store"))
    publish(store, gates=GatePolicy())
    return FeatureStore(store).release("production").recommendations(name).to_dicts()


def lists_of(rows: list[dict]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        assert row["rank"] == len(found.setdefault(row["user_id"], []))
        found[row["user_id"]].append(row["item_id"])
    return found


@pytest.mark.slow
def test_a_store_becomes_lists_in_a_release_whatever_stops_it(tmp_path, small_batches, monkeypatch, capsys):
    whole, stopped = new_project(tmp_path / "whole"), new_project(tmp_path / "stopped")
    assert run(words(whole, "--lists", str(K), "--json")) == 0
    data = data_of(capsys)
    assert (data["trained"], data["lists"]["num_written"], data["fit"]["epochs"]) == (True, 31, 3)

    command = words(stopped, "--lists", str(K), "--json")
    with monkeypatch.context() as patch:
        patch.setattr("cli.report._ProgressLine.__call__", stopping("epochs", 2, KeyboardInterrupt))
        assert run(command) == 130
    assert "the same command with --resume goes on from the last validation" in capsys.readouterr().err
    assert not (stopped / "models" / "generative-isrf").exists()
    with monkeypatch.context() as patch:
        patch.setattr("cli.report._ProgressLine.__call__", stopping("lists", 2 * BATCH, RuntimeError))
        with pytest.raises(RuntimeError, match="killed"):
            run(command)
    capsys.readouterr()
    assert run(command) == 0
    data = data_of(capsys)
    assert (data["trained"], data["lists"]["num_recovered"]) == (False, 2 * BATCH)
    assert [path.name for path in (stopped / "models").iterdir()] == ["generative-isrf"]

    rows = published_lists(stopped, "generative-isrf")
    assert rows == published_lists(whole, "generative-isrf")
    found, release = lists_of(rows), open_store(str(stopped / "store")).release("1")
    assert set(found) == set(release.id_map("user").ids)
    for user, item in release.interactions("train", "valid").select("user_id", "item_id").iter_rows():
        assert item not in found[user]
    assert {len(items) for items in found.values()} == {K}

    assert run(command) == 7
    assert "was fitted on release 1 and reads no other: release 1, here 2" in capsys.readouterr().err
    assert run([*command, "--release", "1"]) == 0
    assert data_of(capsys)["lists"]["num_written"] == 0


def test_a_model_is_measured_by_lists_and_taken_or_replaced(project, capsys):
    command = words(project, "--name", "places", "--json", system="p5")
    assert run(command) == 0
    first, folder = data_of(capsys), project / "models" / "places"
    release = open_store(str(project / "store")).release("1")
    model, _ = load_generative(folder, release)
    valid, histories = load_training_data(release).valid, load_histories(release, "train")
    assert len(valid) == 30
    lists, _ = model.lists(np.unique(valid.users), histories, valid.seen, 10)
    hits = [item in line for item, line in zip(valid.items, lists, strict=True)]
    assert first["validation"]["hr@10"] == pytest.approx(np.mean(hits))
    assert set(first["validation"]) == {"hr@5", "ndcg@5", "hr@10", "ndcg@10"}
    assert first["config"]["word_embeddings"] == "positional"

    assert run([*command, "--resume"]) == 0
    taken = data_of(capsys)
    assert (taken["trained"], taken["validation"]) == (False, first["validation"])
    assert run([*command, "--seed", "1", "--lists", "5"]) == 2
    assert "places was trained otherwise: seed 0, here 1; other names of items." in capsys.readouterr().err
    assert run([*command, "--seed", "1"]) == 0
    assert (data_of(capsys)["seed"], load_generative(folder, release)[1].seed) == (1, 1)


def test_settings_are_listed_as_the_system_has_them(capsys):
    assert run(["train-generative", "p5", "--list-settings", "--json"]) == 0
    settings = {row["setting"]: row for row in data_of(capsys)["settings"]}
    assert settings["word_embeddings"]["default"] == "positional"
    assert settings["embedding_dim"]["default"] == "128"
    assert all(row["meaning"] for row in settings.values())


@pytest.mark.parametrize(
    ("system", "more", "message"),
    [
        ("isfr", [], "unknown system 'isfr'. Did you mean 'isrf'?"),
        ("isrf", ["--features", "item_txt"], "unknown vector feature 'item_txt'. Did you mean 'item_text'?"),
        (
            "isrf",
            ["--set", "fusion=none", "--user-features", "item_cot"],
            "reads nothing of --features item_text",
        ),
        ("isrf", ["--user-features", "item_cot"], "'item_cot' describes items; user features were expected"),
        (
            "isrf",
            ["--user-features", "item_cot", "--set", "user_graph=none"],
            "nothing of --user-features item_",
        ),
        ("p5", ["--features", "item_text"], "p5 with these settings reads nothing of --features item_text."),
        ("p5", ["--view", "text"], "--view and --fallback need --features."),
        ("p5", ["--lists", "24"], "lists of 24 items were asked for; with this beam_size they have 1 to 23."),
        ("p5", ["--name", "../p5"], "'../p5' cannot name a feature."),
        (
            "p5",
            ["--set", "tokens=sequential"],
            "numbers items along whole histories, which gives test items away",
        ),
        ("p5", ["--set", "tokens=codes"], "names items by semantic ids, and none were named."),
        ("p5", ["--semantic-ids", "item_text"], "reads nothing of --semantic-ids item_text."),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_trained(project, system, more, message, capsys):
    assert run(words(project, "-o", str(project / "nowhere"), *more, system=system)) == 2
    assert message in capsys.readouterr().err
    assert not list(project.glob("*nowhere*"))


def test_vectors_that_a_system_reads_must_be_named(project, capsys):
    assert run(["train-generative", "isrf", "-C", str(project)]) == 2
    message = "isrf with these settings reads vectors of items, and --features names none."
    assert message in capsys.readouterr().err


def test_another_kind_of_model_is_not_replaced(project, capsys):
    folder = project / "models" / "graph"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model": "lightgcn"}', encoding="utf-8")
    assert run(words(project, "--name", "graph", system="p5")) == 7
    assert "config.json is no description of a generative model" in capsys.readouterr().err
    assert (folder / "config.json").read_text(encoding="utf-8") == '{"model": "lightgcn"}'


@pytest.fixture(scope="module")
def coded(tmp_path_factory) -> Release:
    """Twelve users, twenty items with vectors and semantic ids."""
    folder = tmp_path_factory.mktemp("coded")
    store = ingested(folder, events_of(random_histories(12, 20, 8)))
    add_item_vectors(store, folder, "made")
    build_codes(store, feature="made", view="text", options=CODES)
    return published(store)


def request(**settings: str) -> TrainRequest:
    return TrainRequest("p5", settings=tiny("p5", **{**QUICK, "epochs": "1", **settings}), num_threads=1)


def test_items_are_named_by_the_release_s_codes(coded, tmp_path):
    model = train_system(coded, request(tokens="codes"), tmp_path / "m", semantic_ids="made").model
    ids = coded.semantic_ids("made")
    digits = model.arrays()["names"]["item_digits"]
    assert ids.entities(digits.astype(np.int64)) == list(coded.id_map("item").ids)


def test_what_read_held_out_events_is_refused(coded, tmp_path):
    leaking = with_pins(coded, "made", event_sets=(f"{coded.manifest.split.checksum[:16]}:train+valid",))
    with pytest.raises(
        LeakError, match=r"^codes made\.text of release 1 read events of .*train\+valid"
    ) as caught:
        train_system(leaking, request(tokens="codes"), tmp_path / "m", semantic_ids="made")
    assert caught.value.hint == "Make it from training events, and publish again."
    isrf = TrainRequest("isrf", settings=tiny("isrf", **QUICK), feature="made")
    with pytest.raises(
        LeakError, match=r"^vector made\.text of release 1 read events of .*train\+valid"
    ) as caught:
        train_system(leaking, isrf, tmp_path / "m")
    assert "--optimistic-validation" not in caught.value.hint


def test_items_without_a_semantic_id_are_named(tmp_path):
    folder = new_project(tmp_path / "project")
    store = connect(str(folder / "store"))
    build_codes(store, feature="item_text", view="text", options=CODES)
    publish(store, gates=GatePolicy())
    release = FeatureStore(store).release("production")
    with pytest.raises(
        SetupError, match=r"the id 'i15' is not in the semantic ids item_text\.text"
    ) as caught:
        train_system(release, request(tokens="codes"), tmp_path / "m", semantic_ids="item_text.text")
    assert "embed all of them" in caught.value.hint


def test_a_release_without_a_validation_part_is_refused(tmp_path):
    events = events_of(random_histories(6, 20, 5))
    parts = ["test" if place % 5 == 4 else "train" for place in range(len(events))]
    release = published(ingested(tmp_path, events, method="none", parts=parts))
    with pytest.raises(
        InputError, match=r"^release 1 has no validation events, by which epochs are chosen\."
    ):
        train_system(release, request(), tmp_path / "m")
