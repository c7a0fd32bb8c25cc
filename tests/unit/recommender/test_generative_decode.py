"""Beam search against scoring every item, and against a beam search in plain Python."""

import numpy as np
import pytest
import torch
from generative_by_hand import chance_by_hand, input_by_hand, words_by_hand
from generative_world import NUM_ITEMS, network_of, ring, settings

from recommender.data import HeldOut, UserItems
from recommender.generative.decode import write_items
from recommender.generative.inputs import make_inputs
from recommender.generative.ranks import list_ranks, of_users
from recommender.generative.trie import CandidateTrie, CatalogueTrie
from recommender.metrics import ranking_metrics

LINES = np.array([[3, 4, 5], [-1, -1, 9]])
USERS = np.array([4, 0])


@pytest.fixture(scope="module")
def network():
    return network_of(settings("elmrec", num_digits=3), ring(), seed=2)


@pytest.fixture(scope="module")
def encoded(network):
    inputs = make_inputs(network.vocabulary, "sequential", USERS, LINES)
    with torch.no_grad():
        return network.writer.encode(inputs, network.words(inputs).tokens)


@pytest.fixture(scope="module")
def chances(network):
    """(2, I) log p of every item, slowly."""
    words = words_by_hand(network, ring(), None)
    lines = [
        input_by_hand(network, "sequential", user, [i for i in items if i >= 0], words)
        for user, items in zip(USERS, LINES, strict=True)
    ]
    return np.array([[chance_by_hand(network, line, item) for item in range(NUM_ITEMS)] for line in lines])


def test_a_beam_as_wide_as_the_catalogue_lists_all_items_by_their_chance(network, encoded, chances):
    trie = CatalogueTrie.of(network.vocabulary.item_digits)
    items, scores = write_items(network.writer, network.vocabulary, encoded, trie, NUM_ITEMS)
    for line in range(2):
        assert items[line].tolist() == np.argsort(-chances[line], kind="stable").tolist()
        assert scores[line] == pytest.approx(np.sort(chances[line])[::-1], abs=1e-5)


@pytest.mark.parametrize("beam_size", [1, 2, 3, 5])
def test_a_narrow_beam_keeps_the_likeliest_beginnings(network, encoded, chances, beam_size):
    """The chance of a beginning is taken from the model; which beginnings stay is decided in plain Python."""
    vocabulary = network.vocabulary
    trie = CatalogueTrie.of(vocabulary.item_digits)
    items, scores = write_items(network.writer, vocabulary, encoded, trie, beam_size)
    digits = [tuple(line) for line in vocabulary.item_digits.tolist()]
    with torch.no_grad():
        tokens = torch.from_numpy(vocabulary.item_tokens)
        for line in range(2):
            alone = type(encoded)(
                encoded.states[line : line + 1].expand(NUM_ITEMS, -1, -1),
                encoded.is_token[line : line + 1].expand(NUM_ITEMS, -1),
            )
            steps = (
                network.writer.logits(alone, tokens).log_softmax(-1).gather(2, tokens.unsqueeze(2))[..., 0]
            )
            totals = steps.cumsum(1).tolist()
            beams = {()}
            for level in range(3):
                open_ones = {
                    digits[item][: level + 1]: totals[item][level]
                    for item in range(NUM_ITEMS)
                    if digits[item][:level] in beams
                }
                beams = set(sorted(open_ones, key=open_ones.get, reverse=True)[:beam_size])
            expected = sorted(beams, key=open_ones.get, reverse=True)
            kept = items[line] >= 0
            assert [digits[item] for item in items[line][kept]] == expected
            assert scores[line][kept] == pytest.approx([open_ones[beam] for beam in expected], abs=1e-5)


def test_left_out_items_are_never_written_and_take_no_place(network, encoded, chances):
    best = np.argsort(-chances, axis=1, kind="stable")
    left_out = torch.zeros(2, NUM_ITEMS, dtype=torch.bool)
    left_out[0, best[0, :4].tolist()] = True
    left_out[1] = True
    left_out[1, best[1, 7]] = False
    trie = CatalogueTrie.of(network.vocabulary.item_digits).without(left_out)
    items, scores = write_items(network.writer, network.vocabulary, encoded, trie, NUM_ITEMS)
    assert items[0, : NUM_ITEMS - 4].tolist() == best[0, 4:].tolist()
    assert (items[0, NUM_ITEMS - 4 :] == -1).all()
    assert items[1, 0] == best[1, 7]
    assert (items[1, 1:] == -1).all()
    assert np.isneginf(scores[1, 1:]).all()


def test_candidates_are_chosen_among_by_their_chance(network, encoded, chances):
    candidates = np.array([[5, 1, 8, 20, 11], [2, 3, -1, -1, -1]])
    left_out = torch.zeros(2, NUM_ITEMS, dtype=torch.bool)
    left_out[0, 8] = True
    trie = CandidateTrie(network.vocabulary.item_digits, candidates, left_out)
    items, _ = write_items(network.writer, network.vocabulary, encoded, trie, 6)
    for line, usable in enumerate(([5, 1, 20, 11], [2, 3])):
        found = items[line][items[line] >= 0].tolist()
        assert found == sorted(usable, key=lambda item, line=line: -chances[line, item])


def test_both_tries_allow_the_same_if_all_items_are_candidates(network, encoded):
    everything = np.tile(np.arange(NUM_ITEMS), (2, 1))
    digits = network.vocabulary.item_digits
    found = [
        write_items(network.writer, network.vocabulary, encoded, trie, 4)
        for trie in (CatalogueTrie.of(digits), CandidateTrie(digits, everything))
    ]
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])


def test_a_trie_leads_to_every_item_and_to_nothing_else():
    digits = np.array([[0, 2, 1], [0, 2, 0], [1, 0, 1], [1, 2, 3]])
    trie = CatalogueTrie.of(digits)
    every = {}

    def walk(level, state, written):
        if level == 3:
            every[written] = int(trie.items(state)[0, 0])
            return
        for digit in torch.nonzero(trie.allowed(level, state)[0, 0])[:, 0].tolist():
            beam = torch.tensor([[0]])
            walk(level + 1, trie.follow(level, state, beam, torch.tensor([[digit]])), (*written, digit))

    walk(0, trie.begin(1), ())
    assert every == {tuple(line): item for item, line in enumerate(digits.tolist())}
    nowhere = trie.follow(1, torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([[0]]))
    assert nowhere.tolist() == [[-1]]
    assert not trie.allowed(2, nowhere).any()


def test_ranks_of_lists():
    lists = np.array([[4, 2, 9], [1, -1, -1]])
    seen = UserItems(np.zeros(9, np.int64), np.empty(0, np.int64))
    held_out = HeldOut(np.array([3, 3, 8]), np.array([2, 5, 1]), seen, 10)
    groups = list_ranks(lists, np.array([3, 8]), held_out)
    assert groups.better.tolist() == [1, 10, 0]
    metrics = ranking_metrics(groups, (1, 3)).per_user
    assert metrics["hr@1"].tolist() == [0, 1]
    assert metrics["hr@3"].tolist() == [1, 1]
    assert metrics["ndcg@3"][0] == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))
    assert of_users(held_out, np.array([8])).items.tolist() == [1]
