"""The generative form against its equations: ISRF (arXiv 2603.13934), 1 and 3 to 11."""

import numpy as np
import pytest
import torch
from generative_by_hand import chance_by_hand, input_by_hand, words_by_hand
from generative_world import network_of, ring, settings, vectors
from isrf_by_hand import infonce_by_hand, soft_dot_by_hand

from recommender.generative.inputs import make_inputs
from recommender.generative.network import GenerativeNetwork, generation_loss
from recommender.generative.words import lookup
from recommender.interests.user_graph import user_neighbors

LINES = np.array([[3, 4, 5], [-1, -1, 9], [-1, 20, 7]])
USERS = np.array([4, 0, 11])


@pytest.fixture(scope="module")
def world():
    return ring()


def friends_of(network: GenerativeNetwork) -> np.ndarray:
    graph = network.words.groups._graph
    return np.stack(
        [graph.columns[graph.indptr[u] : graph.indptr[u + 1]] for u in range(len(graph.indptr) - 1)]
    )


@pytest.mark.parametrize("task", ["sequential", "direct"])
@pytest.mark.parametrize("system", ["p5", "pod", "elmrec", "isrf"])
def test_lines_are_read_by_equations_1_and_3_to_7(world, system, task):
    network = network_of(settings(system, word_scale=1.7), world)
    inputs = make_inputs(network.vocabulary, task, USERS, LINES)
    read = network.writer.embed(inputs, network.words(inputs).tokens).detach().numpy()
    friends = friends_of(network) if system == "isrf" else None
    words = None if system in {"p5", "pod"} else words_by_hand(network, world, friends)
    for line, items in enumerate(LINES):
        by_hand = input_by_hand(network, task, USERS[line], [i for i in items if i >= 0], words)
        assert read[line, : len(by_hand)] == pytest.approx(by_hand, abs=1e-5)
        assert not inputs.is_token[line, len(by_hand) - network.config.prompts :].any()


def test_users_are_compared_by_equation_6(world):
    items = vectors(world).items.matrix
    texts = np.array([items[world.seen.of(user)].mean(axis=0) for user in range(world.num_users)])
    cosines = (texts @ texts.T) / np.linalg.norm(texts, axis=1) / np.linalg.norm(texts, axis=1)[:, None]
    np.fill_diagonal(cosines, -2)
    found = user_neighbors("features", 3, world, vectors(world), seed=0)
    assert [set(line) for line in found] == [set(line) for line in np.argsort(-cosines, axis=1)[:, :3]]


@pytest.mark.parametrize("system", ["p5", "isrf"])
@pytest.mark.parametrize("task", ["sequential", "direct"])
def test_the_loss_of_writing_is_equation_11(world, system, task):
    network = network_of(settings(system), world)
    inputs, targets = make_inputs(network.vocabulary, task, USERS, LINES), np.array([6, 10, 1])
    tokens = torch.from_numpy(network.vocabulary.item_tokens[targets])
    encoded = network.writer.encode(inputs, network.words(inputs).tokens)
    words = None if system == "p5" else words_by_hand(network, world, friends_of(network))
    chances = [
        chance_by_hand(
            network, input_by_hand(network, task, USERS[n], [i for i in LINES[n] if i >= 0], words), target
        )
        for n, target in enumerate(targets.tolist())
    ]
    loss = generation_loss(network.writer.logits(encoded, tokens), tokens)
    assert loss.item() == pytest.approx(-np.mean(chances), abs=1e-5)


@pytest.mark.parametrize("form", ["infonce_cos", "soft_dot"])
@pytest.mark.parametrize("task", ["sequential", "direct"])
def test_users_agree_by_equations_8_to_10(world, form, task):
    weights = {"distillation_weight": 0.7, "sequence_weight": 1.3}
    config = settings(align=form, temperature=0.3, direct_every=2, **weights)
    network = network_of(config, world)
    inputs = make_inputs(network.vocabulary, task, USERS, LINES)
    words = words_by_hand(network, world, friends_of(network))
    groups = torch.from_numpy(words["groups"][USERS])
    if task == "direct":
        teachers, weight = torch.from_numpy(words["users"][USERS]), 0.7
    else:
        means = [np.mean([words["items"][i] for i in line if i >= 0], axis=0) for line in LINES]
        teachers, weight = torch.from_numpy(np.array(means)), 1.3
    by_hand = infonce_by_hand if form == "infonce_cos" else soft_dot_by_hand
    found = network._alignment(task, network.words(inputs))
    assert found.item() == pytest.approx(weight * by_hand(teachers, groups, 0.3).item(), abs=1e-5)


def test_a_batch_has_the_loss_of_equation_10(world):
    network = network_of(settings(), world)
    [examples, *_] = network.sampler.epoch(np.random.default_rng(0))
    read = network.words(examples.inputs)
    tokens = torch.from_numpy(network.vocabulary.item_tokens[examples.targets])
    written = generation_loss(
        network.writer.logits(network.writer.encode(examples.inputs, read.tokens), tokens), tokens
    )
    expected = written + network._alignment("sequential", read)
    assert network.loss(examples).item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize(("task", "other"), [("sequential", 1), ("direct", 0)])
def test_gradients_reach_what_the_paper_trains(world, task, other):
    network = network_of(settings(direct_every=2), world).train()
    seeds = range(4)
    drawn = (each for seed in seeds for each in network.sampler.epoch(np.random.default_rng(seed)))
    for examples in (each for each in drawn if each.inputs.task == task):
        network.loss(examples).backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        if name == "writer.prompts":
            assert weight.grad[1 - other].abs().sum() > 0
            assert weight.grad[other].abs().sum() == 0
        else:
            assert weight.grad.abs().sum() > 0, name
    learned = {name for name, _ in network.named_parameters()}
    assert any(name.startswith("words.layer_zero.adapter.") for name in learned)
    assert not learned & {"words.layer_zero.adapter.vectors", "words.outside"}


def test_distillation_teaches_groups_only_and_sequences_teach_both(world):
    network = network_of(settings(), world)
    inputs = make_inputs(network.vocabulary, "direct", USERS, LINES)
    network._alignment("direct", network.words(inputs)).backward()
    assert network.words.groups.own.grad.abs().sum() > 0
    assert network.words.layer_zero.ids.grad is None
    network._alignment("sequential", network.words(inputs)).backward()
    assert (
        network.words.layer_zero.ids.grad.abs().sum()
        + network.words.layer_zero.adapter.bias_out.grad.abs().sum()
        > 0
    )


def test_without_alignment_and_weight_there_are_no_groups(world):
    assert network_of(settings("elmrec"), world).words.groups is None
    literal = network_of(settings(group_weight=0), world)
    inputs = make_inputs(literal.vocabulary, "sequential", USERS, LINES)
    read = literal.words(inputs)
    assert read.groups is not None
    words = words_by_hand(literal, world, None)
    own = read.tokens[0, len(literal.vocabulary.words.templates["sequential"][0])]
    assert own.detach().numpy() == pytest.approx(words["users"][USERS[0]], abs=1e-6)


def test_what_is_learned_from_is_what_lists_are_written_with(world):
    network = network_of(settings(), world)
    inputs = make_inputs(network.vocabulary, "sequential", USERS, LINES)
    kept = lookup("graph", network.words.table(), inputs)
    assert kept.numpy() == pytest.approx(network.words(inputs).tokens.detach().numpy(), abs=1e-6)
