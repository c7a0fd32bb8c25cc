"""The generative form as a model: it learns, goes on where it was stopped, and is saved."""

import json

import numpy as np
import pytest
import torch
from generative_world import NUM_ITEMS, names, ring, settings, vectors

from featurestore.errors import InputError, StoreError, UsageError
from featurestore.progress import no_progress
from recommender.checkpoint import CheckpointFile
from recommender.data import Histories, training_data
from recommender.generative.config import SYSTEMS, GenerativeConfig
from recommender.generative.model import GenerativeModel
from recommender.generative.network import GenerativeNetwork
from recommender.generative.saved import SavedGenerative, load_generative, save_generative
from recommender.registry import parse_settings
from recommender.saved import bind
from recommender.training.divergence import DivergedError

QUICK = {"embedding_dim": 16, "hidden_dim": 32, "learning_rate": 0.01, "batch_size": 20, "eval_every": 20}


def fitted(data, config=None, seed=0, **options):
    model = GenerativeModel(config or settings(epochs=2), names(data))
    report = model.fit(data, features=vectors(data), seed=seed, **options)
    return model, report


def lists_of(model, data, top_k=5, **options):
    return model.lists(np.arange(data.num_users), data.histories, data.valid.seen, top_k, **options)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_learns_what_comes_next_in_a_ring(system):
    data = ring(60, 12)
    _, report = fitted(data, settings(system, epochs=40, **QUICK))
    assert report.best_metric > 0.6  # a list in random order: about .5
    assert report.history[-1].loss < report.history[0].loss
    assert report.monitor == "ndcg@10"


def test_seen_items_are_dropped_or_take_places():
    data = ring()
    model, _ = fitted(data)
    dropped, scores = lists_of(model, data, 20)
    for user, line in enumerate(dropped):
        news = line[line >= 0].tolist()
        assert len(news) == len(set(news)) == min(20, NUM_ITEMS - len(data.seen.of(user)))
        assert not set(news) & set(data.seen.of(user).tolist())
        assert (np.diff(scores[user][line >= 0]) <= 0).all()
    kept, _ = lists_of(model, data, 20, seen_items="keep")
    assert any(set(line) & set(data.seen.of(user).tolist()) for user, line in enumerate(kept))


def test_a_users_list_does_not_depend_on_who_else_is_asked_for():
    data = ring()
    model, _ = fitted(data)
    together, scores = lists_of(model, data)
    for user in (0, 7, 11):
        alone, value = model.lists(np.array([user]), data.histories, data.valid.seen, 5)
        assert np.array_equal(alone[0], together[user])
        assert value[0] == pytest.approx(scores[user], abs=1e-5)


def test_choices_are_of_the_candidates():
    data = ring()
    model, _ = fitted(data, settings(epochs=2, direct_every=2))
    candidates = np.array([[3, 9, 1, 14, 20, 8], [2, 4, 6, -1, -1, -1]])
    found, _ = model.choices(np.array([5, 1]), candidates, 4)
    assert set(found[0]) < set(candidates[0])
    assert sorted(found[1]) == [-1, 2, 4, 6]
    alone, _ = model.choices(np.array([1]), candidates[1:], 4)
    assert np.array_equal(alone[0], found[1])
    with pytest.raises(UsageError, match="7 candidates were given; the model learned to choose from 6"):
        model.choices(np.array([1]), np.arange(7)[None], 4)
    other, _ = fitted(data)
    with pytest.raises(UsageError, match="did not learn the direct task: direct_every=0"):
        other.choices(np.array([1]), candidates[1:], 4)


def test_a_stopped_training_ends_with_the_weights_it_would_have_had(tmp_path):
    data, config = ring(), settings(epochs=4, eval_every=1, dropout=0.1, direct_every=2)
    whole, report = fitted(data, config)
    checkpoint = CheckpointFile(tmp_path / "state.safetensors", "one run")

    def stop(done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise KeyboardInterrupt

    _, stopped = fitted(data, config, progress=stop, checkpoint=checkpoint)
    assert (stopped.interrupted, stopped.epochs) == (True, 2)
    resumed, again = fitted(data, config, progress=no_progress, checkpoint=checkpoint)
    assert [r.metric for r in again.history] == [r.metric for r in report.history]
    for name, array in whole.arrays()["weights"].items():
        assert np.array_equal(array, resumed.arrays()["weights"][name]), name


@pytest.mark.parametrize("steps", [2, 8, 10])  # in epochs 1, 3 and 4, of three batches each
def test_what_is_stopped_in_the_middle_of_an_epoch_ends_as_if_it_had_not_been(tmp_path, monkeypatch, steps):
    data, config = ring(), settings(epochs=5, eval_every=2, dropout=0.1, direct_every=2)
    whole, report = fitted(data, config)
    checkpoint, learn, seen = (
        CheckpointFile(tmp_path / "state.safetensors", "one run"),
        GenerativeNetwork.loss,
        [],
    )

    def stop(network, examples):
        seen.append(examples)
        if len(seen) == steps:
            raise KeyboardInterrupt
        return learn(network, examples)

    with monkeypatch.context() as patch:
        patch.setattr(GenerativeNetwork, "loss", stop)
        if steps < 6:  # before the first validation: there is nothing to keep
            with pytest.raises(KeyboardInterrupt):
                fitted(data, config, checkpoint=checkpoint)
        else:
            assert fitted(data, config, checkpoint=checkpoint)[1].interrupted
    _end_alike(fitted(data, config, checkpoint=checkpoint), (whole, report))


def test_what_is_stopped_between_validations_ends_as_if_it_had_not_been(tmp_path):
    data, config = ring(), settings(epochs=5, eval_every=2, dropout=0.1, direct_every=2)
    checkpoint = CheckpointFile(tmp_path / "state.safetensors", "one run")

    def stop(done: int, total: int, note: str = "") -> None:
        if done == 3:
            raise KeyboardInterrupt

    _, stopped = fitted(data, config, progress=stop, checkpoint=checkpoint)
    assert (stopped.interrupted, stopped.epochs, stopped.best_epoch) == (True, 3, 2)
    _end_alike(fitted(data, config, checkpoint=checkpoint), fitted(data, config))


def _end_alike(resumed, whole):
    (ours, report), (theirs, expected) = resumed, whole
    assert [(r.epoch, r.loss, r.metric) for r in report.history] == [
        (r.epoch, r.loss, r.metric) for r in expected.history
    ]
    assert (report.epochs, report.best_epoch, report.interrupted) == (5, expected.best_epoch, False)
    for name, array in theirs.arrays()["weights"].items():
        assert np.array_equal(array, ours.arrays()["weights"][name]), name


def test_one_seed_gives_one_model_and_leaves_torchs_generator_alone():
    data = ring()
    before = torch.random.get_rng_state()
    (one, _), (two, _), (other, _) = (fitted(data, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert one.digest == two.digest != other.digest


def test_arrays_are_the_model():
    data = ring()
    model, _ = fitted(data)
    copy = GenerativeModel(model.config, names(data))
    copy.load_arrays(model.arrays())
    for mine, theirs in zip(lists_of(model, data), lists_of(copy, data), strict=True):
        assert np.array_equal(mine, theirs)
    assert copy.digest == model.digest
    other = GenerativeModel(model.config, names(data)[::-1].copy())
    with pytest.raises(StoreError, match="learned for other names"):
        other.load_arrays(model.arrays())


def test_a_saved_model_reads_its_own_release_only(toy, tmp_path):
    data, release = ring(), toy.release()
    model, report = fitted(data)
    info = SavedGenerative(config=model.config, seed=0, binding=bind(release, None), fit=report)
    save_generative(tmp_path / "model", model, info)
    loaded, found = load_generative(tmp_path / "model", release)
    assert np.array_equal(lists_of(loaded, data)[0], lists_of(model, data)[0])
    assert found.fit.history == report.history
    size, users = model.arrays()["weights"]["parameter.t5.shared.weight"].shape[1], data.num_users
    written = sum(a.size for name, a in model.arrays()["weights"].items() if name != "words")
    hidden = (4 + size) // 2  # eq. 2: (d' + d) / 2
    adapter = hidden * (4 + 1) + size * (hidden + 1)
    assert (
        loaded.num_parameters == found.num_parameters == written + 2 * users * size + adapter
    )  # E_U and H(0)
    path = tmp_path / "model" / "config.json"
    content = json.loads(path.read_text())
    content["binding"]["num_users"] = 7
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="num_users 7, here 31"):
        load_generative(tmp_path / "model", release)
    path.write_text("{}")
    with pytest.raises(StoreError, match="no description of a generative model"):
        load_generative(tmp_path / "model", release)


def test_a_damaged_file_is_named(toy, tmp_path):
    data, release = ring(), toy.release()
    model, report = fitted(data)
    info = SavedGenerative(config=model.config, seed=0, binding=bind(release, None), fit=report)
    save_generative(tmp_path / "model", model, info)
    (tmp_path / "model" / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(StoreError, match=r"weights\.safetensors is damaged or gone"):
        load_generative(tmp_path / "model", release)
    content = json.loads((tmp_path / "model" / "config.json").read_text())
    del content["files"]
    (tmp_path / "model" / "config.json").write_text(json.dumps(content))
    absent = r"config\.json does not name weights\.safetensors and names\.safetensors"
    with pytest.raises(StoreError, match=absent):
        load_generative(tmp_path / "model", release)
    with pytest.raises(StoreError, match="holds no model"):
        load_generative(tmp_path / "nothing", release)


def test_what_does_not_fit_is_refused():
    data = ring()
    model = GenerativeModel(settings(epochs=1), names(data))
    with pytest.raises(StoreError, match="this generative model is empty"):
        lists_of(model, data)
    with pytest.raises(UsageError, match="fusion=replace reads vectors of items, and there are none"):
        model.fit(data, features=None, seed=0)
    with pytest.raises(UsageError, match="users are compared by vectors"):
        GenerativeModel(settings(fusion="none"), names(data)).fit(data, features=None, seed=0)
    with pytest.raises(UsageError, match="22 items have names, the training data have 23"):
        GenerativeModel(settings(), names(data)[:22]).fit(data, features=vectors(data), seed=0)
    model.fit(data, features=vectors(data), seed=0)
    for length in (0, 24):
        with pytest.raises(UsageError, match=f"lists of {length} items were asked for; .* have 1 to 23"):
            lists_of(model, data, length)
    with pytest.raises(UsageError, match="embedding_dim 10 is no multiple of num_heads 4"):
        parse_settings(GenerativeConfig, {"embedding_dim": "10"})
    with pytest.raises(UsageError, match="direct_every 1 leaves out the sequential task"):
        parse_settings(GenerativeConfig, {"direct_every": "1"})
    with pytest.raises(UsageError, match=r"beam_size: .*greater than or equal to 10"):
        parse_settings(GenerativeConfig, {"beam_size": "5"})


def test_a_training_that_diverges_says_so():
    data = ring()
    with pytest.raises(DivergedError, match=r"diverged: the loss of epoch . is nan") as caught:
        fitted(data, settings(epochs=3, learning_rate=1e30))
    assert "smaller learning_rate" in caught.value.hint


def test_users_without_events_are_asked_for_alone_and_among_others():
    data = ring()
    model, _ = fitted(data)
    cut = np.minimum(data.histories.indptr, data.histories.indptr[9])  # the last three had nothing
    histories = Histories(cut, data.histories.items[: cut[-1]])
    together, _ = model.lists(np.arange(12), histories, data.valid.seen, 5)
    alone, _ = model.lists(np.arange(9, 12), histories, data.valid.seen, 5)
    assert np.array_equal(alone, together[9:])
    assert (alone >= 0).all()


def test_one_user_is_enough_to_learn_from():
    nobody, one = np.zeros(4, np.int64), np.zeros(1, np.int64)
    data = training_data(
        num_users=1, num_items=23, train=(nobody, np.array([1, 2, 2, 5])), valid=(one, np.array([7]))
    )
    model, report = fitted(data)
    assert report.best_metric is not None
    assert not set(lists_of(model, data, 20)[0][0]) & {1, 2, 5}


def test_users_with_one_event_teach_nothing():
    users, nothing = np.arange(4), np.empty(0, np.int64)
    data = training_data(num_users=4, num_items=23, train=(users, users), valid=(nothing, nothing))
    with pytest.raises(InputError, match="no user has two training events"):
        GenerativeModel(settings("p5"), names(data)).fit(data, features=None, seed=0)


def test_without_validation_all_epochs_run():
    data = ring()
    events = np.repeat(np.arange(data.num_users), data.histories.lengths), data.histories.items
    nothing = np.empty(0, np.int64)
    data = training_data(num_users=12, num_items=23, train=events, valid=(nothing, nothing))
    _, report = fitted(data, settings("p5", epochs=3, eval_every=1, patience=1))
    assert (report.epochs, report.best_epoch, report.best_metric) == (3, 3, None)
