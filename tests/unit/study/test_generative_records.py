"""Runs of the generative form: trained on a small release, measured, written down, read again."""

from dataclasses import replace

import numpy as np
import pytest

from featurestore.errors import InputError, SetupError, UsageError
from featurestore.ids import digest_bytes
from featurestore.progress import no_progress
from recommender.data import load_histories
from recommender.generative.config import SYSTEMS
from recommender.generative.experiment import served_lists
from recommender.generative.means import choice_means
from recommender.generative.model import GenerativeModel
from recommender.sampled import draw_negatives
from scripts.study.code_version import ROOT
from scripts.study.datasets import Dataset
from scripts.study.definitions import reached
from scripts.study.generative import fitted, measure, settings_of
from scripts.study.generative_records import generative_version, path_of, read, standing, state_of, write
from scripts.study.generative_runs import GenerativeRun, changed, minimum, queue, runs
from scripts.study.generative_world import World

TINY = {
    "embedding_dim": "8",
    "hidden_dim": "16",
    "num_heads": "2",
    "num_blocks": "1",
    "num_neighbors": "5",
    "epochs": "2",
    "eval_every": "1",
    "pca_components": "4",
    "num_digits": "1",
    "beam_size": "12",
}


@pytest.fixture(scope="module")
def world(release, tmp_path_factory):
    dataset = Dataset("toy", (), "item_text", None, "titles", 10, "ndcg@10")
    return World(dataset, "d" * 32, release, tmp_path_factory.mktemp("project"))


def run(**changed) -> GenerativeRun:
    return GenerativeRun(**({"dataset": "toy", "name": "isrf", "system": "isrf", "settings": TINY} | changed))


def found(world, folder, each=None, told=no_progress, minutes=None):
    each = each or run()
    return fitted(each, world, settings_of(each), seed=0, minutes=minutes, told=told, folder=folder)


def test_a_run_becomes_a_record_that_can_be_read(world, tmp_path):
    record = measure(run(), world, found(world, tmp_path / "models"), seed=0)
    path = write(record, tmp_path / "records")
    assert path == path_of(run(), 0, tmp_path / "records")
    assert read(tmp_path / "records") == [record]
    assert set(record.test) == set(record.test_kept) == {"hr@5", "ndcg@5", "hr@10", "ndcg@10"}
    assert (record.num_train_users, record.num_test_users, record.stopped_minutes) == (40, 40, None)
    assert record.seconds_per_epoch == record.cpu_seconds_per_epoch > 0


def test_test_metrics_are_those_of_lists_after_train_and_validation(world, tmp_path):
    model = found(world, tmp_path).model
    record = measure(run(), world, found(world, tmp_path), seed=0)
    users, asked = np.arange(40), load_histories(world.release, "train", "valid")
    lists, _ = model.lists(users, asked, world.test.seen, 10)
    held_out = dict(zip(world.test.users.tolist(), world.test.items.tolist(), strict=True))
    hits = [held_out[user] in lists[user, :5] for user in users.tolist()]
    assert record.test["hr@5"] == pytest.approx(np.mean(hits))
    served, _ = served_lists(model, world.release, 10)(users)
    assert np.array_equal(served, lists)


def test_a_trained_model_is_loaded_not_trained_again(world, tmp_path):
    first = found(world, tmp_path)

    def never(done: int, total: int, note: str = "") -> None:
        raise AssertionError("it trains")

    second = found(world, tmp_path, told=never)
    assert second.model.digest == first.model.digest
    assert second.fit == first.fit


def test_minutes_end_training_and_are_written_down(world, tmp_path):
    stopped = found(world, tmp_path, minutes=0.0)
    assert (stopped.fit.epochs, stopped.stopped_minutes) == (1, 0.0)
    assert found(world, tmp_path, minutes=0.0).stopped_minutes == 0.0


def test_a_model_that_ended_by_itself_is_what_any_minutes_get(world, tmp_path):
    def never(done: int, total: int, note: str = "") -> None:
        raise AssertionError("it trains")

    whole = found(world, tmp_path, minutes=40.0)
    for minutes in (None, 40.0, 7.0):
        again = found(world, tmp_path, told=never, minutes=minutes)
        assert (again.model.digest, again.stopped_minutes) == (whole.model.digest, None)


def test_what_minutes_ended_goes_on_and_ends_as_if_it_had_not_been(world, tmp_path):
    stopped = found(world, tmp_path, minutes=0.0)
    first: list[int] = []
    whole = found(world, tmp_path, told=lambda done, *_: first.append(done))
    assert (first, whole.fit.epochs, whole.stopped_minutes) == ([2], 2, None)
    assert whole.model.digest == found(world, tmp_path / "other").model.digest
    assert whole.fit.history[0].metric == stopped.fit.history[0].metric
    assert not list(tmp_path.glob("*.checkpoint.safetensors"))


def test_fewer_minutes_than_training_has_had_are_refused(world, tmp_path):
    slow = run(settings=TINY | {"epochs": "3"})

    def stop(done: int, total: int, note: str = "") -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found(world, tmp_path, slow, told=stop)
    with pytest.raises(
        UsageError, match=r"^1e-06 minutes were asked for, and the training has had 0\.\d already"
    ):
        found(world, tmp_path, slow, minutes=1e-6)


def test_minutes_that_end_before_a_validation_are_too_few(world, tmp_path):
    rarely = run(settings=TINY | {"eval_every": "2"})
    with pytest.raises(UsageError, match=r"0 minutes were over before the first validation, .* epoch 2"):
        found(world, tmp_path, rarely, minutes=0.0)
    assert not list(tmp_path.iterdir())


def test_a_record_of_other_code_settings_or_data_is_an_earlier_one(world, tmp_path):
    record = measure(run(), world, found(world, tmp_path / "models"), seed=0)
    assert state_of(run(), 0, world.data, tmp_path) == "due"
    write(record, tmp_path)
    assert state_of(run(why="in other words"), 0, world.data, tmp_path) == "current"
    assert state_of(run(), 1, world.data, tmp_path) == "due"
    assert state_of(run(), 0, "e" * 32, tmp_path) == "earlier"
    assert state_of(run(settings=TINY | {"dropout": "0.2"}), 0, world.data, tmp_path) == "earlier"
    write(record.model_copy(update={"code": "older"}), tmp_path)
    assert state_of(run(), 0, world.data, tmp_path) == "earlier"


def test_a_record_that_minutes_ended_is_current_for_the_same_minutes_alone(world, tmp_path):
    record = measure(run(), world, found(world, tmp_path / "models", minutes=0.0), seed=0)
    write(record, tmp_path)
    asked = {
        minutes: state_of(run(), 0, world.data, tmp_path, minutes=minutes) for minutes in (0.0, 40.0, None)
    }
    assert asked == {0.0: "current", 40.0: "stopped", None: "stopped"}
    whole = record.model_copy(update={"stopped_minutes": None})
    assert {standing(whole, run(), world.data, minutes) for minutes in (None, 0.0)} == {"current"}
    older = record.model_copy(update={"code": "older"})
    assert standing(older, run(), world.data, 0.0) == "earlier"


def test_the_direct_task_is_measured_among_fixed_negatives(world, tmp_path):
    both = run(settings=TINY | {"direct_every": "2", "candidates": "6"})
    model = found(world, tmp_path, both)
    record = measure(both, world, model, seed=0)
    negatives = draw_negatives(world.test, 5, seed=0)
    assert record.negatives == negatives.digest
    order = np.random.default_rng([0, 0xCA])
    held_out = world.test.items[np.argsort(world.test.users)]
    candidates = order.permuted(np.concatenate([held_out[:, None], negatives.items], axis=1), axis=1)
    lists, _ = model.model.choices(np.arange(40), candidates, 6)
    places = np.array([line.tolist().index(item) for line, item in zip(lists, held_out, strict=True)])
    assert record.direct["hr@5"] == pytest.approx((places < 5).mean())
    assert record.direct["hr@10"] == 1
    assert record.direct["ndcg@10"] == pytest.approx((1 / np.log2(places + 2)).mean())
    assert measure(run(), world, found(world, tmp_path), seed=0).direct is None


def test_the_direct_task_is_measured_where_each_user_has_one_item(world, tmp_path):
    both = run(settings=TINY | {"direct_every": "2", "candidates": "6"})
    several = replace(world.test, users=np.append(world.test.users, 0), items=np.append(world.test.items, 0))
    negatives = draw_negatives(several, 5)
    with pytest.raises(
        InputError, match="40 users have negatives, and 41 items are held out; the direct task"
    ):
        choice_means(found(world, tmp_path, both).model, several, negatives)


def test_a_record_keeps_what_names_its_items(world, tmp_path):
    record = measure(run(), world, found(world, tmp_path / "models"), seed=0)
    digits = world.item_digits(settings_of(run()), 0)
    assert record.item_digits == digest_bytes(digits.astype("<i8").tobytes())


def test_a_version_covers_names_lists_choices_and_what_makes_codes(monkeypatch):
    codes = run(settings=TINY | {"tokens": "codes"})
    assert generative_version(codes) != generative_version(run())
    asked = []
    monkeypatch.setattr(
        "scripts.study.generative_records.code_version", lambda _, **given: asked.append(given["path"]) or "v"
    )
    for each in (run(), codes):
        generative_version(each)
    plain, coded = (reached(ROOT, path) for path in asked)
    wanted = {
        ("recommender.generative.means", "list_means"),
        ("recommender.generative.means", "choice_means"),
        ("recommender.generative.experiment", "item_digits"),
        ("recommender.sampled", "draw_negatives"),
        ("recommender.generative.pretrained", "read_t5"),
    }
    assert wanted <= set(plain) <= set(coded)
    assert ("featurestore.codes.residual_quantizer", "encode") in set(coded) - set(plain)


def test_what_a_killed_process_left_is_no_record(world, tmp_path):
    path = write(measure(run(), world, found(world, tmp_path / "models"), seed=0), tmp_path / "records")
    path.with_suffix(".fresh").write_text("{", encoding="utf-8")
    assert len(read(tmp_path / "records")) == 1


def test_other_settings_make_another_run():
    assert changed(run(), {}, None) == run()
    other = changed(run(), {"epochs": "3"}, "short")
    assert (other.label, other.why) == ("toy/isrf-short", "epochs=3")
    assert settings_of(other).epochs == 3
    assert settings_of(other).num_blocks == 1
    with pytest.raises(UsageError, match="with other settings toy/isrf is another run, which needs a name"):
        changed(run(), {"epochs": "3"}, None)


def test_items_without_vectors_have_no_semantic_ids(world):
    config = settings_of(run(settings=TINY | {"tokens": "codes"}))
    blank = replace(world, dataset=Dataset("blank", (), None, None, "none", 10, "ndcg@10"))
    with pytest.raises(SetupError, match="blank has no vectors of items, of which semantic ids are made"):
        blank.item_digits(config, 0)


def test_a_person_stops_it_and_it_goes_on(world, tmp_path):
    def stop(done: int, total: int, note: str = "") -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found(world, tmp_path, told=stop)
    whole, resumed = found(world, tmp_path / "other"), found(world, tmp_path)
    assert resumed.model.digest == whole.model.digest
    assert not list(tmp_path.glob("*.checkpoint.safetensors"))


def test_only_sequential_ids_and_whole_profiles_read_held_out_events(world):
    config = settings_of(run(settings=TINY | {"tokens": "sequential", "num_digits": "1"}))
    order = world.item_digits(config, 0)[:, 0]
    whole = load_histories(world.release, "train", "valid", "test")
    assert order[whole.items[0]] == 0
    assert sorted(order) == list(range(20))
    texts = world.features("whole").items.matrix
    profile = world.features("whole").users.matrix
    for user in (0, 7):
        assert profile[user] == pytest.approx(texts[np.unique(whole.of(user))].mean(axis=0), abs=1e-5)
    assert world.features("train").users is None


def test_declared_runs_have_settings_and_names_of_their_own():
    declared = runs()
    assert len({each.label for each in declared}) == len(declared)
    for each in declared:
        assert each.system in SYSTEMS
        GenerativeModel(settings_of(each), np.arange(4)[:, None])
        assert each.chooses == bool(settings_of(each).direct_every)
    assert {each.name for each in minimum() if each.chooses} == {"isrf-direct", "isrf-no-distillation"}
    assert len(queue()) == 5
