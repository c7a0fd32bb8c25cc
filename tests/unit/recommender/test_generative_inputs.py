import numpy as np
import pytest
from generative_world import NUM_ITEMS, NUM_USERS, names, ring, settings

from featurestore.errors import InputError
from recommender.data import Histories
from recommender.generative.inputs import BatchSampler, make_inputs, next_item_lines
from recommender.generative.tokens import (
    digits_of,
    new_vocabulary,
    require_distinct,
    sequential_numbers,
    shuffled_numbers,
)


def epoch_of(config, data, seed=0):
    vocabulary = new_vocabulary(names(data), data.num_users, config.num_digits)
    sampler = BatchSampler(config, data, vocabulary)
    batches = list(sampler.epoch(np.random.default_rng(seed)))
    assert len(batches) == sampler.num_batches
    return batches


def test_numbers_of_p5_follow_the_users():
    histories = Histories(np.array([0, 3, 3, 6]), np.array([4, 2, 4, 0, 2, 5]))
    assert sequential_numbers(histories, 7).tolist() == [2, 4, 1, 5, 0, 3, 6]


def test_neighbours_in_a_new_users_history_have_neighbouring_numbers():
    items = np.random.default_rng(0).permutation(40)
    histories = Histories(np.arange(0, 41, 5), items)
    numbers = sequential_numbers(histories, 40)
    assert all((np.diff(numbers[histories.of(user)]) == 1).all() for user in range(8))
    shuffled = shuffled_numbers(40, 0)
    assert np.mean([np.diff(shuffled[histories.of(user)]) == 1 for user in range(8)]) < 0.2


def test_shuffled_numbers_are_a_permutation_that_the_seed_draws():
    numbers = shuffled_numbers(500, 1)
    assert sorted(numbers) == list(range(500))
    assert np.array_equal(numbers, shuffled_numbers(500, 1))
    assert not np.array_equal(numbers, shuffled_numbers(500, 2))


@pytest.mark.parametrize(
    ("count", "num_digits", "base"), [(1, 1, 1), (23, 2, 5), (25, 2, 5), (26, 2, 6), (28, 3, 4)]
)
def test_digits_are_of_the_smallest_base(count, num_digits, base):
    digits = digits_of(np.arange(count), num_digits)
    assert digits.shape == (count, num_digits)
    for number, line in enumerate(digits):
        value = 0
        for digit in line:
            assert 0 <= digit < base
            value = value * base + digit
        assert value == number


def test_two_items_of_one_name_are_refused():
    with pytest.raises(InputError, match=r"1 items have the tokens of another one, such as \[1, 2\]"):
        require_distinct(np.array([[1, 2], [0, 1], [1, 2]]))
    with pytest.raises(InputError, match="rows of digits from 0"):
        require_distinct(np.array([[1, -2]]))


def test_every_token_means_one_thing():
    vocabulary = new_vocabulary(digits_of(np.arange(23), 2), 11, 2)
    words = {token for parts in vocabulary.words.templates.values() for part in parts for token in part}
    items = {(level, t) for line in vocabulary.item_tokens for level, t in enumerate(line)}
    users = {(level, t) for line in vocabulary.user_tokens for level, t in enumerate(line)}
    tokens = [*words, *(t for _, t in items), *(t for _, t in users)]
    assert len(tokens) == len(set(tokens))
    assert min(tokens) == 2
    assert max(tokens) == vocabulary.size - 1
    assert len(tokens) == vocabulary.size - 2
    assert np.array_equal(vocabulary.item_digits, digits_of(np.arange(23), 2))


def test_a_line_is_the_same_alone_and_among_others():
    vocabulary = new_vocabulary(digits_of(np.arange(23), 2), 11, 2)
    lines = np.array([[1, 2, 3], [-1, -1, 7], [-1, -1, -1]])
    together = make_inputs(vocabulary, "sequential", np.array([5, 6, 7]), lines)
    for row in range(3):
        alone = make_inputs(vocabulary, "sequential", np.array([5 + row]), lines[row : row + 1])
        width = alone.tokens.shape[1]
        assert together.is_token[row].sum() == alone.is_token.sum() == width
        for name in ("tokens", "nodes", "places"):
            assert np.array_equal(getattr(together, name)[row, :width], getattr(alone, name)[0])
    assert together.places[0].max() == 4
    assert set(together.nodes[1]) == {-1, 6, 11 + 7}
    after = make_inputs(vocabulary, "sequential", np.array([6]), np.array([[7, -1, -1]]))
    assert np.array_equal(after.tokens[0], together.tokens[1, : after.tokens.shape[1]])


def test_examples_are_the_events_of_a_history():
    histories = Histories(np.array([0, 4, 6]), np.array([3, 1, 4, 1, 5, 9]))
    items, targets = next_item_lines(histories, np.array([0, 0, 1]), np.array([3, 1, 1]), 2)
    assert items.tolist() == [[1, 4], [-1, 3], [-1, 5]]
    assert targets.tolist() == [1, 1, 9]


@pytest.mark.parametrize("seed", range(3))
def test_an_epoch_reads_every_user_once_and_only_what_came_before(seed):
    data = ring()
    batches = epoch_of(settings(), data, seed)
    assert sorted(u for b in batches for u in b.inputs.users) == list(range(NUM_USERS))
    for batch in batches:
        for user, items, target in zip(batch.inputs.users, batch.inputs.items, batch.targets, strict=True):
            read, history = [i for i in items if i >= 0], data.histories.of(user).tolist()
            assert 1 <= len(read) <= 3
            place = history.index(target)
            assert history[max(0, place - 3) : place] == read


def test_all_next_items_are_drawn_in_time():
    data = ring()
    seen = {
        (user, target)
        for seed in range(40)
        for batch in epoch_of(settings(), data, seed)
        for user, target in zip(batch.inputs.users.tolist(), batch.targets.tolist(), strict=True)
    }
    assert seen == {(u, i) for u in range(NUM_USERS) for i in data.histories.of(u)[1:].tolist()}


def test_direct_batches_take_their_turn_and_choose_from_what_was_not_had():
    data, config = ring(), settings(direct_every=2)
    tasks = [batch.inputs.task for batch in epoch_of(config, data)]
    assert tasks == ["sequential", "direct", "sequential"]
    for batch in epoch_of(config, data)[1::2]:
        assert len(set(batch.inputs.users)) == len(batch.inputs.users)
        for user, items, target in zip(batch.inputs.users, batch.inputs.items, batch.targets, strict=True):
            own = set(data.seen.of(user).tolist())
            assert len(set(items)) == config.candidates
            assert set(items) & own == {target}
    assert config.candidates < NUM_ITEMS


def test_a_catalogue_too_small_to_choose_from_is_refused():
    message = "chooses from 23 items, of which a user had one; no user has so many among 23"
    with pytest.raises(InputError, match=message):
        epoch_of(settings(direct_every=2, candidates=23), ring())
