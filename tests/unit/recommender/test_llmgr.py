"""LLMGR's small model: its items and losses by hand, the base inside it, and no language model anywhere."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from featurestore.errors import InputError, StoreError, UsageError
from featurestore.progress import no_progress
from recommender.data import TrainingData, group_by_time, load_training_data, training_data
from recommender.experiment import TrainRequest, train_models
from recommender.models import gcsan, gru4rec, llmgr, niser, stamp
from recommender.registry import find_model, parse_settings
from recommender.sequence.model import history_states
from recommender.sequence_vectors import sequence_vectors, states_of
from recommender.session.teacher_lists import (
    TeacherLists,
    TeacherOrigin,
    load_teacher,
    sessions_digest,
    teacher_divergence,
)
from recommender.testing import NUM_ITEMS, NUM_USERS, checkerboard, parity_features

ASKED = [[1, 5, 2], [6], [], [0, 6, 2, 0, 1], [2, 2, 4]]  # nobody has item 3
SMALL = {
    "id_dropout": 0.0,
    "embedding_dim": 6,
    "max_length": 4,
    "init_std": 0.5,
    "dropout": 0.0,
    "batch_size": 1_000,
}
QUICK = {"epochs": 20, "batch_size": 64, "learning_rate": 0.02, "eval_every": 10, "embedding_dim": 16}
BASES = {"gcsan": gcsan, "gru4rec": gru4rec, "stamp": stamp, "niser": niser}


def small_data():
    users = np.repeat(np.arange(len(ASKED)), [len(history) for history in ASKED])
    items = np.array([item for history in ASKED for item in history], np.int64)
    none = np.array([], np.int64)
    return training_data(num_users=len(ASKED), num_items=7, train=(users, items), valid=(none, none))


def origin_of(data: TrainingData, **said: str) -> TeacherOrigin:
    stated = {"release": "3", "split": "5f3a:train", "adapter": "ad" * 16}
    return TeacherOrigin(**{"sessions": sessions_digest(data.histories)} | stated | said)


def small_network(vectors: np.ndarray | None, **settings: object) -> llmgr.Network:
    network = llmgr.Network(llmgr.Config(**(SMALL | settings)), small_data(), (None, vectors), 1)
    generator = torch.Generator().manual_seed(5)
    if network.semantic is not None:  # first weights of zero would hide a bias that is left out
        for weight in (network.semantic.bias_in, network.semantic.bias_out):
            weight.data.normal_(generator=generator)
    return network


@pytest.fixture
def vectors(rng) -> np.ndarray:
    found = rng.normal(size=(7, 3)).astype(np.float32)
    found[4] = 0.0  # has no text
    return found


def items_by_hand(network: llmgr.Network, vectors: np.ndarray, max_degree: int | None) -> np.ndarray:
    degrees = {item: len({u for u, history in enumerate(ASKED) if item in history}) for item in range(7)}
    ids, part = network.layer_zero.ids.detach().numpy(), network.semantic
    weights = {name: weight.detach().numpy() for name, weight in part.named_parameters()}
    found = ids.copy()
    for item in range(7):
        if not vectors[item].any() or (max_degree is not None and degrees[item] > max_degree):
            continue
        hidden = np.maximum(weights["scaled_in"] / 3 @ vectors[item] + weights["bias_in"], 0.0)
        text = weights["scaled_out"] / len(hidden) @ hidden + weights["bias_out"]
        both = np.concatenate([ids[item], text])
        gate = 1 / (1 + np.exp(-(both @ weights["gate"][:, 0] + weights["gate_bias"][0])))
        gate *= degrees[item] > 0
        found[item] = gate * ids[item] + (1 - gate) * text
    return found


@pytest.mark.parametrize("max_degree", [None, 1])
def test_items_are_gated_where_they_have_a_text_and_few_sessions(vectors, max_degree):
    network = small_network(vectors, semantic_max_degree=max_degree)
    _, found = network.score_vectors()
    np.testing.assert_allclose(found.numpy(), items_by_hand(network, vectors, max_degree), atol=1e-6)
    own = network.layer_zero.ids.detach().numpy()
    alone = {item for item in range(7) if (found.numpy()[item] == own[item]).all()}
    assert alone == {None: {4}, 1: {1, 2, 4, 6}}[max_degree]


def test_the_loss_is_the_softmax_and_the_teacher_s_divergence(vectors, tmp_path, rng):
    lists = TeacherLists(
        np.array([[3, 0, 6], [-1, -1, -1], [-1, -1, -1], [2, 5, 1], [4, 1, 0]]),
        rng.normal(size=(5, 3)).astype(np.float32),
        origin_of(small_data()),
    )
    lists.save(tmp_path / "lists.safetensors")
    path = str(tmp_path / "lists.safetensors")
    network = small_network(vectors, teacher=path, teacher_weight=0.7, reg=0.1)
    [batch] = network.epoch(np.random.default_rng(0))
    items = items_by_hand(network, vectors, None)
    asked = {0: [1, 5], 3: [0, 6, 2, 0], 4: [2, 2]}

    def state(history: list[int]) -> np.ndarray:
        histories = group_by_time(np.zeros(len(history), np.int64), np.array(history), 1)
        rows = torch.from_numpy(items)
        return history_states(network.encoder, rows, histories, np.array([0])).numpy()[0]

    nexts = [(user, t) for user in asked for t in range(1, len(ASKED[user]))]
    logits = np.stack([state(ASKED[user][:t]) @ items.T for user, t in nexts])
    targets = [ASKED[user][t] for user, t in nexts]
    ranked = [item for item in range(7) if item != 3]  # which has a text and which nobody had
    losses = np.log(np.exp(logits[:, ranked]).sum(axis=1)) - logits[np.arange(len(nexts)), targets]
    ids = network.layer_zero.ids.detach().numpy()
    expected = losses.mean() + 0.1 * (ids[targets] ** 2).sum() / (2 * len(targets))
    kept = []
    for user, history in asked.items():
        mine = items[lists.items[user]] @ state(history)
        p, q = (np.exp(s) / np.exp(s).sum() for s in (lists.scores[user], mine))
        kept.append((p * np.log(p / q)).sum())
    expected += 0.7 * np.mean(kept)
    found = network.loss(batch, torch.Generator().manual_seed(0))
    assert float(found.detach()) == pytest.approx(expected, abs=1e-5)


def test_on_a_base_of_cosines_every_softmax_is_of_cosines(vectors, tmp_path, rng):
    lists = TeacherLists(
        np.array([[3, 0, 6], [-1, -1, -1], [-1, -1, -1], [-1, -1, -1], [4, 1, 0]]),
        rng.normal(size=(5, 3)).astype(np.float32),
        origin_of(small_data()),
    )
    lists.save(tmp_path / "lists.safetensors")
    settings = {"base": "niser", "temperature": 0.25, "teacher": str(tmp_path / "lists.safetensors")}
    network = small_network(vectors, **settings, teacher_weight=2.0)
    [batch] = network.epoch(np.random.default_rng(0))
    items = items_by_hand(network, vectors, None)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    losses, kept = [], []
    for user, history in enumerate(ASKED):
        for t in range(1, len(history)):
            histories = group_by_time(np.zeros(t, np.int64), np.array(history[:t]), 1)
            state = history_states(network.encoder.encoder, torch.from_numpy(items), histories, np.array([0]))
            state = state.numpy()[0] / np.linalg.norm(state.numpy()[0])
            cosines = items @ state / 0.25
            ranked = np.delete(cosines, 3)
            losses.append(np.log(np.exp(ranked).sum()) - cosines[history[t]])
            if t == len(history) - 1 and lists.items[user, 0] >= 0:
                mine = cosines[lists.items[user]]
                p, q = (np.exp(s) / np.exp(s).sum() for s in (lists.scores[user], mine))
                kept.append((p * np.log(p / q)).sum())
    found = network.loss(batch, torch.Generator().manual_seed(0))
    assert float(found.detach()) == pytest.approx(np.mean(losses) + 2.0 * np.mean(kept), abs=1e-5)


def test_no_list_costs_nothing(rng):
    states = torch.from_numpy(rng.normal(size=(2, 3)).astype(np.float32)).requires_grad_()
    lists = TeacherLists(np.full((2, 2), -1), np.zeros((2, 2), np.float32), origin_of(small_data()))
    loss = teacher_divergence(states, torch.ones(4, 3), lists, np.array([0, 1]))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert not states.grad.any()


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("read", ["nothing", "no text"])
def test_without_texts_it_is_the_base_to_the_bit(name, read):
    data, _ = checkerboard()
    quick = QUICK | {"epochs": 2}
    base = find_model(name).model_type(BASES[name].Config(**quick))
    base.fit(data, features=None, seed=3, progress=no_progress)
    fusion = {"fusion": "none"} if read == "no text" else {}
    model = llmgr.Model(llmgr.Config(**quick, base=name, **fusion))
    features = parity_features() if read == "no text" else None
    model.fit(data, features=features, seed=3, progress=no_progress)
    np.testing.assert_array_equal(model.score(np.arange(NUM_USERS)), base.score(np.arange(NUM_USERS)))


def test_texts_place_what_nobody_clicked():
    data, _ = checkerboard()
    cold = NUM_ITEMS  # whose text says that it is even
    model = llmgr.Model(llmgr.Config(**QUICK, base="stamp"))
    model.fit(data, features=parity_features(), seed=3, progress=no_progress)
    scores = model.score(np.arange(NUM_USERS))[:, cold]
    assert scores[::2].min() > scores[1::2].max()
    loaded = llmgr.Model(model.config)
    loaded.load_arrays(model.arrays())
    np.testing.assert_array_equal(loaded.score(np.arange(NUM_USERS))[:, cold], scores)
    other = model.with_features(data, parity_features())
    np.testing.assert_allclose(other.score(np.arange(NUM_USERS))[:, cold], scores, atol=1e-4)


def test_a_student_comes_nearer_to_its_teacher(tmp_path, rng):
    data, _ = checkerboard()
    items = np.stack([rng.permutation(NUM_ITEMS)[:5] for _ in range(data.num_users)])
    lists = TeacherLists(items, 3 * rng.normal(size=items.shape).astype(np.float32), origin_of(data))
    lists.save(tmp_path / "lists.safetensors")
    distances = {}
    for weight in (0.0, 3.0):
        settings = QUICK | {"teacher": str(tmp_path / "lists.safetensors"), "teacher_weight": weight}
        model = llmgr.Model(llmgr.Config(**settings, base="stamp"))
        model.fit(data, features=None, seed=3, progress=no_progress)
        cut = [data.histories.of(user)[:-1] for user in range(NUM_USERS)]
        users = np.repeat(np.arange(NUM_USERS), [len(each) for each in cut])
        states = states_of(model, group_by_time(users, np.concatenate(cut), NUM_USERS))
        table = torch.from_numpy(model.arrays()["weights"]["item_vectors"])
        divergence = teacher_divergence(torch.from_numpy(states), table, lists, np.arange(NUM_USERS))
        distances[weight] = float(divergence)
    assert distances[3.0] < 0.5 * distances[0.0]


def test_lists_that_do_not_fit_are_refused(tmp_path):
    data = small_data()
    with pytest.raises(InputError, match=r"there are no lists of a teacher at .*absent"):
        load_teacher(tmp_path / "absent", data)
    (tmp_path / "broken").write_bytes(b"no lists")
    with pytest.raises(StoreError, match="holds no lists of a teacher"):
        load_teacher(tmp_path / "broken", data)
    save_file({"lists": np.zeros(1)}, tmp_path / "other")
    with pytest.raises(StoreError, match="holds no lists of a teacher"):
        load_teacher(tmp_path / "other", data)
    TeacherLists(np.array([[2]]), np.zeros((1, 1), np.float32), origin_of(data)).save(tmp_path / "one")
    with pytest.raises(UsageError, match=r"are of 1 sessions and name items up to row 2; .* 5 sessions"):
        load_teacher(tmp_path / "one", data)
    items = np.full((5, 1), 7)
    TeacherLists(items, np.zeros((5, 1), np.float32), origin_of(data)).save(tmp_path / "many")
    with pytest.raises(UsageError, match=r"name items up to row 7; the release has .* 7 items"):
        load_teacher(tmp_path / "many", data)


def with_clicks(changed: dict[int, list[int]], num_items: int = 7) -> TrainingData:
    """The small data, other clicks in some rows."""
    histories = [changed.get(row, history) for row, history in enumerate(ASKED)]
    users = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    none = np.array([], np.int64)
    return training_data(
        num_users=len(histories),
        num_items=num_items,
        train=(users, np.array([item for history in histories for item in history])),
        valid=(none, none),
    )


def test_lists_of_other_sessions_are_refused_however_alike_their_size(tmp_path):
    path = tmp_path / "lists.safetensors"
    lists = TeacherLists(np.full((5, 2), 1), np.zeros((5, 2), np.float32), origin_of(small_data()))
    lists.save(path)
    with safe_open(path, framework="numpy") as opened:
        said = opened.metadata()
    assert {name: said[name] for name in ("release", "split", "adapter")} == {
        "release": "3",
        "split": "5f3a:train",
        "adapter": "ad" * 16,
    }
    others = {
        "another order": with_clicks({4: [2, 4, 2]}),
        "another item": with_clicks({1: [5]}),
        "another user": with_clicks({1: [], 2: [6]}),
        "an event less": with_clicks({3: [0, 6, 2, 0]}),
    }
    for why, data in others.items():
        with pytest.raises(UsageError, match="are of other training sessions") as caught:
            load_teacher(path, data)
        told = str(caught.value)
        assert f"the adapter {'ad' * 8} read" in told, why
        assert "of release 3 (5f3a:train)" in told
        assert "has 5 sessions" in told
        assert "Train on a release of the same split and events" in caught.value.hint
    # What a release has beside its sessions does not matter: vectors are published after tuning.
    more_items = with_clicks({}, num_items=9)
    np.testing.assert_array_equal(load_teacher(path, more_items).items, lists.items)


def test_lists_that_do_not_say_what_they_are_of_are_refused(tmp_path):
    arrays = {"items": np.full((5, 2), 1), "scores": np.zeros((5, 2), np.float32)}
    for name, said in {"none": None, "some": {"release": "3"}}.items():
        save_file(arrays, tmp_path / name, said)
        with pytest.raises(UsageError, match="do not say which sessions they are of") as caught:
            load_teacher(tmp_path / name, small_data())
        assert "featurestore tune llmgr --stage behaviour --teacher FILE" in caught.value.hint


def test_lists_are_written_whole_or_not_at_all(tmp_path):
    lists = TeacherLists(np.full((5, 2), 1), np.zeros((5, 2), np.float32), origin_of(small_data()))
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=re.escape(f"{tmp_path / 'folder'} cannot be accessed")):
        lists.save(tmp_path / "folder")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=re.escape(f"{tmp_path / 'file' / 'lists'} cannot be accessed")):
        lists.save(tmp_path / "file" / "lists")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_training_does_not_go_on_with_lists_that_were_written_anew(toy, tmp_path):
    released = toy.release()
    data = load_training_data(released)
    path = tmp_path / "lists.safetensors"
    lists = TeacherLists(
        np.zeros((data.num_users, 1), np.int64), np.zeros((data.num_users, 1), np.float32), origin_of(data)
    )
    lists.save(path)
    settings = {"epochs": "3", "eval_every": "1", "embedding_dim": "4", "base": "stamp", "teacher": str(path)}
    request = TrainRequest("llmgr", settings)

    def stop(done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise SystemExit

    for name in ("same", "anew"):
        with pytest.raises(SystemExit):
            train_models(released, request, tmp_path / name, progress=stop)
    again = replace(request, resume=True)
    done: list[int] = []
    train_models(released, again, tmp_path / "same", progress=lambda epoch, *_: done.append(epoch))
    assert done == [3]

    replace(lists, items=np.ones((data.num_users, 1), np.int64)).save(path)
    with pytest.raises(UsageError, match="belongs to another training run"):
        train_models(released, again, tmp_path / "anew")
    train_models(released, again, tmp_path / "same", progress=lambda epoch, *_: done.append(epoch))
    assert len(done) > 1, "a finished model of other lists is no answer"


def test_settings_that_it_cannot_have_are_refused():
    entry = find_model("llmgr")
    with pytest.raises(UsageError, match="gcsan scores by inner products; leave temperature out"):
        parse_settings(entry.config_type, {"temperature": "0.1"})
    cosines = parse_settings(entry.config_type, {"temperature": "0.1", "base": "niser"})
    assert cosines.cosine_temperature == 0.1
    with pytest.raises(UsageError, match="llmgr has no fusion 'concat'; take gate or none"):
        parse_settings(entry.config_type, {"fusion": "concat"})
    drawn = parse_settings(entry.config_type, {"semantic_max_degree": "none"})
    assert drawn.semantic_max_degree is None


def test_vectors_of_sequences_are_those_of_scores():
    data, _ = checkerboard()
    model = gcsan.Model(gcsan.Config(**(QUICK | {"epochs": 1})))
    model.fit(data, features=None, seed=3, progress=no_progress)
    states, items = sequence_vectors(model)
    np.testing.assert_allclose(
        states[:NUM_USERS] @ items.T, model.score(np.arange(NUM_USERS)), rtol=1e-4, atol=1e-5
    )
    assert not states[NUM_USERS].any()


def test_training_and_serving_load_no_language_model():
    code = (
        "import sys, recommender.models.llmgr, recommender.serve, recommender.experiment, recommender.saved; "
        "bad = {'transformers', 'vllm', 'peft', 'openai', 'llm_jobs', 'ray'} & set(sys.modules); "
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
