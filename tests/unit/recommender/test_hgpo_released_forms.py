"""Forms of LGHRec's released code: what each computes, and what is wrong with it."""

from itertools import permutations

import numpy as np
import pytest
import torch
from dense_graph import BATCH
from policy_states import random_state
from torch.nn.functional import normalize

from featurestore.progress import no_progress
from recommender.checkpoint import CheckpointFile
from recommender.hgpo.config import HgpoConfig
from recommender.hgpo.plackett_luce import log_probability
from recommender.hgpo.policy import Policy, draw_action, log_probabilities, squash, summed_log_shares
from recommender.models.lghrec import Config, Model, Network
from recommender.testing import checkerboard

RELEASED = {
    "pools": "items",
    "advantage": "whitened",
    "choice_head": "slot",
    "choice_chance": "summed",
    "temperature_form": "clamped",
    "temperature_min": 0.01,
    "temperature_max": 2.0,
    "state_of": "layer_zero",
    "loss_negatives": "in_batch",
    "harmony_weight": 0.0,
}
SMALL = {"embedding_dim": 4, "init_std": 0.5, "backbone_settings": "num_layers=2"}


def policy_of(**settings: object) -> tuple[HgpoConfig, Policy]:
    config = HgpoConfig.model_validate({"embedding_dim": 4, "pool_size": 9, "num_chosen": 3} | settings)
    policy = Policy(config, 4, torch.Generator().manual_seed(0))
    with torch.no_grad():  # heads that begin flat would all look alike
        for weight in policy.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)), alpha=0.3)
    return config, policy


@pytest.mark.parametrize(("head", "is_of_places"), [("slot", True), ("candidate", False)])
def test_logits_of_places_do_not_know_which_item_stands_there(head, is_of_places):
    """The pool in another order: its mean is the same."""
    _, policy = policy_of(choice_head=head)
    state = random_state(5, 9, 4, torch.Generator().manual_seed(2), torch.full((5,), 20.0))
    order = torch.arange(8, -1, -1)
    logits = policy(state).logits
    for part in ("candidates", "candidate_degrees"):
        object.__setattr__(state, part, getattr(state, part)[order])
    other = policy(state).logits
    assert torch.allclose(other, logits, atol=1e-5) == is_of_places
    assert torch.allclose(other, logits[:, order], atol=1e-5) != is_of_places


def test_a_pool_with_fewer_candidates_has_the_first_places():
    _, policy = policy_of(choice_head="slot", pool_size=30)
    state = random_state(5, 9, 4, torch.Generator().manual_seed(2), torch.full((5,), 20.0))
    assert policy(state).logits.shape == (5, 9)


def test_the_sum_of_log_shares_is_no_probability_of_a_draw():
    logits = torch.tensor([1.0, 0.0, -1.0, 0.5])
    draws = torch.tensor(list(permutations(range(4), 2)))
    of_draws = {
        chance: chance(logits.expand(len(draws), 4), draws).exp().sum().item()
        for chance in (log_probability, summed_log_shares)
    }
    assert of_draws[log_probability] == pytest.approx(1.0)
    assert of_draws[summed_log_shares] < 0.8
    by_hand = torch.log_softmax(logits, dim=0)[draws].sum(dim=1)
    torch.testing.assert_close(summed_log_shares(logits.expand(len(draws), 4), draws), by_hand)


def test_a_policy_takes_the_chance_that_is_set():
    state = random_state(5, 9, 4, torch.Generator().manual_seed(2), torch.full((5,), 20.0))
    found = {}
    for chance in ("ordered", "summed"):
        config, policy = policy_of(choice_chance=chance, temperature_by="fixed")
        outputs = policy(state)
        action = draw_action(outputs, 3, 1, torch.Generator().manual_seed(3))
        found[chance] = log_probabilities(config, outputs, action)
        of = log_probability if chance == "ordered" else summed_log_shares
        torch.testing.assert_close(found[chance], of(outputs.logits.expand(1, 5, 9), action.chosen))
    assert (found["summed"] < found["ordered"]).all()


def test_a_clamped_temperature_begins_where_it_is_set_and_ends_at_the_bounds():
    config, _ = policy_of(temperature_form="clamped", temperature=0.3)
    raw = torch.tensor([-1.0, 0.01, 0.3, 5.0])
    assert squash(config, raw).tolist() == pytest.approx([0.05, 0.05, 0.3, 1.0])
    policy = Policy(config, 4, torch.Generator().manual_seed(0))
    state = random_state(5, 9, 4, torch.Generator().manual_seed(2), torch.full((5,), 20.0))
    torch.testing.assert_close(policy(state).mean, torch.full((5,), 0.3), atol=0.05, rtol=0)


def test_state_and_rewards_see_layer_zero():
    ours = Network(Config(**SMALL, state_of="layer_zero"), checkerboard()[0], (None, None), seed=1)
    next(ours.epoch(np.random.default_rng(3)))
    ours.loss(BATCH, torch.Generator().manual_seed(0))
    table = normalize(ours.backbone.layer_zero(), dim=1).detach()
    for side, rows in zip(
        ours.contrasts, (np.unique(BATCH.users), np.unique(BATCH.positives) + 41), strict=True
    ):
        (episode,) = side.agent._episodes
        state = episode.state
        torch.testing.assert_close(state.nodes, table[rows])
        torch.testing.assert_close(state.positives, table[rows])
        torch.testing.assert_close(state.to_nodes, table[rows] @ state.candidates.T)
        assert (table @ state.candidates.T > 1 - 1e-5).any(dim=0).all(), "candidates are rows of layer 0"


def test_a_users_positive_among_items_is_the_item_of_its_first_pair():
    settings = SMALL | {"pools": "items", "state_of": "layer_zero"}
    ours = Network(Config(**settings), checkerboard()[0], (None, None), seed=1)
    next(ours.epoch(np.random.default_rng(3)))
    ours.loss(BATCH, torch.Generator().manual_seed(0))
    table = normalize(ours.backbone.layer_zero(), dim=1).detach()
    users, firsts = np.unique(BATCH.users, return_index=True)
    (episode,) = ours.contrasts[0].agent._episodes
    torch.testing.assert_close(episode.state.nodes, table[users])
    torch.testing.assert_close(episode.state.positives, table[41 + BATCH.positives[firsts]])


def test_chosen_negatives_are_rewarded_and_never_enter_the_loss():
    def loss(**settings: object) -> tuple[Network, float]:
        ours = Network(Config(**SMALL, **settings), checkerboard()[0], (None, None), seed=1)
        next(ours.epoch(np.random.default_rng(3)))
        return ours, ours.loss(BATCH, torch.Generator().manual_seed(0)).item()

    ours, released = loss(loss_negatives="in_batch", temperature_by="fixed")
    assert all(side.agent.num_waiting for side in ours.contrasts)
    assert released == pytest.approx(loss(negatives_by="in_batch", temperature_by="fixed")[1], rel=1e-6)
    assert released != pytest.approx(loss(temperature_by="fixed")[1], rel=1e-3)


def test_all_of_it_trains_and_goes_on_from_a_checkpoint_to_the_bit(tmp_path):
    quick = {"epochs": 4, "eval_every": 1, "batch_size": 128, "embedding_dim": 8, "learning_rate": 0.02}
    config = Config(**quick, **RELEASED, buffer_size=64)
    file = CheckpointFile(tmp_path / "c.safetensors", "this run")

    def weights(checkpoint: CheckpointFile | None = None, progress=no_progress) -> dict[str, np.ndarray]:
        model = Model(config)
        model.fit(checkerboard()[0], features=None, seed=3, progress=progress, checkpoint=checkpoint)
        return model.arrays()["weights"]

    def stop(done: int, total: int, note: str = "") -> None:
        del total, note
        if done == 3:
            raise KeyboardInterrupt

    whole = weights()
    weights(file, stop)
    resumed = weights(file)
    assert np.isfinite(whole["user_vectors"]).all()
    for name, array in whole.items():
        np.testing.assert_array_equal(array, resumed[name], err_msg=name)
