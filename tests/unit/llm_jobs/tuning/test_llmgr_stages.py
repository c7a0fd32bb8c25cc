"""LLMGR's stages on a tiny decoder: places, losses by hand, what stays frozen, and stops."""

import re
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from session_world import QUICK, QUICK_BEHAVIOUR

from featurestore.errors import InputError
from llm_jobs.tuning.base_model import load_base
from llm_jobs.tuning.checkpoint import TuningCheckpoint
from llm_jobs.tuning.hybrid_input import Graph, HybridInput, Node, Part, load_hybrid_tokens
from llm_jobs.tuning.hybrid_model import read_states
from llm_jobs.tuning.hybrid_weights import begin
from llm_jobs.tuning.llmgr_examples import (
    TitleExamples,
    newest_examples,
    other_titles,
    session_examples,
)
from llm_jobs.tuning.llmgr_objective import (
    JointStage,
    Reading,
    SessionStage,
    TitleStage,
    measure_states,
)
from llm_jobs.tuning.llmgr_prompts import alignment_prompt
from llm_jobs.tuning.loop import tune
from recommender.checkpoint import CheckpointFile
from recommender.data import Histories

SESSIONS = [[0, 3, 0, 5, 2], [4], [], [6, 1, 2, 2]]
HISTORIES = Histories(
    np.cumsum([0, *map(len, SESSIONS)]), np.array([item for s in SESSIONS for item in s], np.int64)
)
TITLES = ("rose", "drum 1", "kettle", "a lamp", "oil", "soap", "toy")
NUM_ITEMS, WIDTH = 8, 5


@pytest.fixture
def world(decoder):
    """Eight items, seven of them with a title: everything that stages are made of, the same every time."""

    def make(config=QUICK):
        rng = np.random.default_rng(3)
        base = load_base(decoder.model_copy(update={"max_tokens": 96}), config)
        nodes = torch.from_numpy(rng.normal(size=(NUM_ITEMS, WIDTH)).astype(np.float32))
        nodes[7] = 0.0
        start = begin(base, nodes, config, seed=2)
        sessions = session_examples(HISTORIES, config.max_nodes)
        graphs = torch.from_numpy(rng.normal(size=(len(sessions), WIDTH)).astype(np.float32))
        reading = Reading(load_hybrid_tokens(base.folder, base.spec), nodes, graphs)
        titles = TitleExamples(np.arange(7), TITLES, np.arange(7), config.num_candidates, seed=4)
        return start, reading, titles, sessions

    return make


def state_by_hand(model, ends, reading: Reading, found: HybridInput) -> np.ndarray:
    """h of one input, whose embeddings are put together one by one."""
    embedded = model.words[torch.tensor(found.token_ids)].detach().numpy().copy()
    for place, what in found.places:
        linear, table, row = (
            (ends.node, reading.nodes, what.item)
            if hasattr(what, "item")
            else (ends.graph, reading.sessions, what.session)
        )
        weight, bias = (w.detach().numpy() for w in (linear.weight, linear.bias))
        embedded[place] = weight @ table[row].numpy() + bias
    with torch.no_grad():
        states = model.trunk(inputs_embeds=torch.from_numpy(embedded)[None]).last_hidden_state
    return states[0, -1].numpy()


def with_places(text: str, rows: Iterable[int], session: int = 0) -> list[Part]:
    """Words around places, □ of nodes and △ of a graph: not the code under test."""
    left = iter(rows)
    found: list[Part] = []
    for piece in filter(None, re.split("([□△])", text)):
        places = {"□": lambda: Node(int(next(left))), "△": lambda: Graph(session)}
        found.append(places[piece]() if piece in places else piece)
    return found


def cross_entropy_by_hand(logits: np.ndarray, right: int) -> float:
    powers = np.exp(logits - logits.max())
    return float(-np.log(powers[right] / powers.sum()))


def test_a_title_is_told_from_its_candidates_and_all_else_is_masked(world):
    start, reading, titles, _ = world()
    objective = TitleStage(titles, reading, start.ends)
    losses = []
    for number in (0, 3, 6):
        rows, place = titles.candidates(number)
        assert rows[place] == number
        text = f'Candidates: {", ".join("□" * len(rows))}. Title: "{TITLES[number]}". Which node is it?'
        found = reading.tokens.input(with_places(text, rows))
        state = state_by_hand(start.model, start.ends, reading, found)
        logits = start.ends.output.detach().numpy() @ state
        masked = np.where(np.isin(np.arange(NUM_ITEMS), rows), logits, -np.inf)
        losses.append(cross_entropy_by_hand(masked, number))
    with torch.no_grad():
        found = float(objective.loss(start.model, np.array([0, 3, 6])))
    assert found == pytest.approx(np.mean(losses), abs=1e-5)


def test_what_comes_next_is_told_from_the_whole_catalogue(world):
    start, reading, _, sessions = world()
    objective = SessionStage(sessions, reading, start.ends)
    expected = [([0], 3), ([0, 3], 0), ([0, 3, 0], 5), ([3, 0, 5], 2), ([6], 1), ([6, 1], 2), ([6, 1, 2], 2)]
    assert [(sessions.clicks(n), int(sessions.targets[n])) for n in range(len(sessions))] == expected
    losses = []
    for number in (1, 3, 6):
        clicks, target = expected[number]
        nodes = ", ".join("□" * len(clicks))
        text = f"Session graph: △. Nodes in click order: {nodes}. Recommend the next item."
        found = reading.tokens.input(with_places(text, clicks, number))
        state = state_by_hand(start.model, start.ends, reading, found)
        losses.append(cross_entropy_by_hand(start.ends.output.detach().numpy() @ state, target))
    with torch.no_grad():
        found = float(objective.loss(start.model, np.array([1, 3, 6])))
    assert found == pytest.approx(np.mean(losses), abs=1e-5)


def test_a_batch_gives_what_each_input_gives_alone_and_a_node_is_as_long_as_a_word(world):
    start, reading, _, sessions = world()
    inputs = [reading.tokens.input(reading.session_prompt(sessions, n)) for n in range(len(sessions))]
    vectors = reading.nodes, reading.sessions
    together = read_states(start.model, start.ends, inputs, vectors, batch_size=3)
    alone = [state_by_hand(start.model, start.ends, reading, each) for each in inputs]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    known = reading.nodes[:7]
    placed = start.ends.node(known).detach().square().mean().sqrt()
    words = start.model.words.square().mean().sqrt()
    assert float(placed / words) == pytest.approx(1.0, abs=0.25)


def test_states_are_standardised_by_what_a_stage_s_prompts_have_before_it_is_tuned(world):
    start, reading, titles, sessions = world()
    parts = TitleStage(titles, reading, start.ends), SessionStage(sessions, reading, start.ends)
    joint = JointStage(*parts)
    measure_states(start.model, joint, QUICK.model_copy(update={"batch_size": 5}), reading.nodes)
    inputs = [reading.tokens.input(alignment_prompt(titles.candidates(n)[0], TITLES[n])) for n in range(7)]
    inputs += [reading.tokens.input(reading.session_prompt(sessions, n)) for n in range(7)]
    raw = np.stack([state_by_hand(start.model, start.ends, reading, each) for each in inputs])
    expected = (raw - raw.mean(axis=0)) / raw.std(axis=0, ddof=1)
    found = read_states(start.model, start.ends, inputs, (reading.nodes, reading.sessions), batch_size=4)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    logits = start.ends.output.detach().numpy() @ expected[7]
    with torch.no_grad():
        loss = float(joint.loss(start.model, np.array([7])))
    assert loss == pytest.approx(cross_entropy_by_hand(logits, int(sessions.targets[0])), abs=1e-4)
    with pytest.raises(InputError, match="all 2 prompts have the same state"):
        start.ends.measure(torch.ones(2, 32))


def test_the_output_begins_alike_for_alike_items(world):
    start, reading, _, _ = world()
    output, nodes = start.ends.output.detach(), reading.nodes
    known, centred = output[:7], nodes[:7] - nodes[:7].mean(dim=0)
    # Seven rows that are a map of five columns: nothing is left of them outside of these.
    found = torch.linalg.lstsq(centred, known).solution
    np.testing.assert_allclose(centred @ found, known, atol=1e-5)
    assert float(known.std()) == pytest.approx(0.02, rel=1e-3)
    assert output[7].any()


def test_a_probe_is_the_ridge_regression_of_nodes_on_states(world):
    start, reading, titles, sessions = world()
    joint = JointStage(TitleStage(titles, reading, start.ends), SessionStage(sessions, reading, start.ends))
    config = QUICK.model_copy(update={"batch_size": 4, "first_output": "probe"})
    before = start.ends.output.detach().clone()
    measure_states(start.model, joint, config, reading.nodes)
    inputs = [reading.tokens.input(alignment_prompt(titles.candidates(n)[0], TITLES[n])) for n in range(7)]
    inputs += [reading.tokens.input(reading.session_prompt(sessions, n)) for n in range(7)]
    raw = np.stack([state_by_hand(start.model, start.ends, reading, each) for each in inputs], dtype=float)
    states = (raw - raw.mean(axis=0)) / raw.std(axis=0, ddof=1)
    nodes = reading.nodes.numpy().astype(float)
    nodes = nodes - nodes[:7].mean(axis=0)
    answers = [*range(7), *sessions.targets.tolist()]
    # The penalty as 32 more examples whose answer is zero.
    padded = np.concatenate([states, np.sqrt(2 * 14) * np.eye(32)])
    found = np.linalg.lstsq(padded, np.concatenate([nodes[answers], np.zeros((32, WIDTH))]), rcond=None)[0]
    mapped = nodes[:7] @ found.T
    expected = mapped / mapped.std(ddof=1) * 0.02
    np.testing.assert_allclose(start.ends.output.detach()[:7], expected, atol=2e-4)
    assert torch.equal(start.ends.output.detach()[7], before[7])  # it has no node


def test_candidates_are_different_items_and_hang_on_seed_and_example_alone():
    def examples(seed: int) -> TitleExamples:
        return TitleExamples(np.arange(40), ("t",) * 40, np.arange(40), 6, seed)

    places = set()
    for number in range(40):
        rows, place = examples(1).candidates(number)
        assert len(set(rows.tolist())) == 6
        assert rows[place] == number
        np.testing.assert_array_equal(rows, examples(1).candidates(number)[0])
        places.add(place)
    assert places == set(range(6))
    assert any((examples(1).candidates(n)[0] != examples(2).candidates(n)[0]).any() for n in range(40))


def test_examples_of_sessions_are_prefixes_of_the_newest_clicks():
    some = session_examples(HISTORIES, 2, max_examples=3, seed=1)
    assert len(some) == 3
    assert all(len(some.clicks(n)) <= 2 for n in range(3))
    newest, rows = newest_examples(HISTORIES, 3)
    assert rows.tolist() == [0, 3]
    assert [newest.clicks(n) for n in range(2)] == [[3, 0, 5], [6, 1, 2]]
    assert newest.targets.tolist() == [2, 2]
    prefixes = newest.prefixes
    assert [prefixes.of(n).tolist() for n in range(2)] == [[3, 0, 5], [6, 1, 2]]
    moved = other_titles(TITLES, seed=3)
    assert sorted(moved) == sorted(TITLES)
    assert all(one != other for one, other in zip(moved, TITLES, strict=True))


@pytest.mark.parametrize(("stage", "weights"), [("titles", "lora"), ("sessions", "full"), ("joint", "lora")])
def test_a_stage_learns_and_what_is_frozen_stays_to_the_bit(world, stage, weights):
    config = QUICK_BEHAVIOUR.model_copy(update={"weights": weights, "epochs": 6, "lora_dropout": 0.0})
    start, reading, titles, sessions = world(config)
    parts = TitleStage(titles, reading, start.ends), SessionStage(sessions, reading, start.ends)
    objective = dict(zip(("titles", "sessions", "joint"), (*parts, JointStage(*parts)), strict=True))[stage]
    frozen = {name: w.clone() for name, w in start.model.named_parameters() if not w.requires_grad}
    nodes, graphs = reading.nodes.clone(), reading.sessions.clone()
    before = {name: w.detach().clone() for name, w in start.model.named_parameters() if w.requires_grad}
    report = tune(start.model, objective, config, seed=1)
    assert report.losses[-1] < report.losses[0]
    assert torch.equal(nodes, reading.nodes)
    assert torch.equal(graphs, reading.sessions)
    assert (len(frozen) == 0) == (weights == "full")
    now = dict(start.model.named_parameters())
    assert all(torch.equal(weight, now[name]) for name, weight in frozen.items())
    assert any(not torch.equal(weight, now[name]) for name, weight in before.items())
    names = {name for name, _ in objective.named_parameters()}
    assert names == {
        f"ends.{n}" for n in ("node.weight", "node.bias", "graph.weight", "graph.bias", "output")
    }


def test_joint_examples_weigh_alike(world):
    start, reading, titles, sessions = world()
    parts = TitleStage(titles, reading, start.ends), SessionStage(sessions, reading, start.ends)
    joint = JointStage(*parts)
    assert joint.num_examples == 14
    with torch.no_grad():
        found = float(joint.loss(start.model, np.array([2, 7, 9])))
        title = float(parts[0].loss(start.model, np.array([2])))
        session = float(parts[1].loss(start.model, np.array([0, 2])))
    assert found == pytest.approx((title + 2 * session) / 3, abs=1e-5)


@pytest.mark.parametrize("weights", ["lora", "full"])
def test_a_stage_that_was_stopped_ends_as_if_it_had_not_been(world, tmp_path, weights):
    config = QUICK_BEHAVIOUR.model_copy(update={"weights": weights, "epochs": 4, "lora_dropout": 0.1})

    def job():
        start, reading, _, sessions = world(config)
        return start, SessionStage(sessions, reading, start.ends)

    def stop(done: int, total: int, note: str = "") -> None:
        if done == 3:
            raise KeyboardInterrupt

    whole, objective = job()
    tune(whole.model, objective, config, seed=1)
    checkpoint = TuningCheckpoint(CheckpointFile(tmp_path / "state.safetensors", "job"))
    stopped, objective = job()
    with pytest.raises(KeyboardInterrupt):
        tune(stopped.model, objective, config, seed=1, checkpoint=checkpoint, progress=stop)
    resumed, objective = job()
    report = tune(resumed.model, objective, config, seed=1, checkpoint=checkpoint)
    assert report.resumed_at == 2
    for ours, theirs in ((resumed.model, whole.model), (resumed.ends, whole.ends)):
        expected = dict(theirs.named_parameters())
        assert all(torch.equal(w, expected[name]) for name, w in ours.named_parameters())
