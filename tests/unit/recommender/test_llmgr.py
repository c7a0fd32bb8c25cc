"""LLMGR's small model: its items and losses by hand, the base inside it, and no language model anywhere."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from featurestore.errors import UsageError
from featurestore.progress import no_progress
from recommender.data import TrainingData, group_by_time, training_data
from recommender.models import gcsan, gru4rec, llmgr, niser, stamp
from recommender.registry import find_model, parse_settings
from recommender.sequence.model import history_states
from recommender.sequence_vectors import sequence_vectors
from recommender.session.teacher_lists import (
    TeacherLists,
    TeacherOrigin,
    sessions_digest,
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
