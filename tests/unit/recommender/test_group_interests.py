import numpy as np
import pytest
import torch
from isrf_by_hand import groups_by_hand, infonce_by_hand, ring, soft_dot_by_hand

from recommender.interests.agreement import align
from recommender.interests.groups import GroupInterests

BY_HAND = {"infonce_cos": infonce_by_hand, "soft_dot": soft_dot_by_hand}


def interests(neighbors: np.ndarray, num_layers: int) -> GroupInterests:
    generator = torch.Generator().manual_seed(5)
    return GroupInterests(neighbors, num_layers, embedding_dim=4, std=0.5, generator=generator)


@pytest.mark.parametrize("num_layers", [0, 1, 2, 4])
@pytest.mark.parametrize("users", [[3, 0, 8, 1, 2], [2, 8, 1]], ids=["whole graph", "some lines"])
def test_groups_and_their_gradients_equal_the_equation(num_layers, users):
    neighbors, users = ring(9, 3), np.array(users)
    ours = interests(neighbors, num_layers)
    weights = torch.randn(len(users), 4, generator=torch.Generator().manual_seed(1))
    found, first = ours(users)
    torch.testing.assert_close(first, ours.own[users])
    (found * weights).sum().backward()
    own = ours.own.detach().double().requires_grad_()
    expected = groups_by_hand(own, neighbors, num_layers)[users]
    (expected * weights.double()).sum().backward()
    torch.testing.assert_close(found.detach().double(), expected.detach(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours.own.grad.double(), own.grad, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours.everything()[users], found.detach())


def test_without_neighbours_a_user_has_a_share_of_an_own_vector():
    ours = interests(np.empty((6, 0), np.int64), 1)
    torch.testing.assert_close(ours.everything(), ours.own.detach() / 2)


@pytest.mark.parametrize("form", ["infonce_cos", "soft_dot"])
def test_alignment_and_its_gradients_equal_the_formula(form):
    generator = torch.Generator().manual_seed(2)
    pair = [torch.randn(5, 3, generator=generator, dtype=torch.float64) for _ in range(2)]
    ours = [vectors.float().requires_grad_() for vectors in pair]
    slow = [vectors.requires_grad_() for vectors in pair]
    found = align(form, ours[0], ours[1], 0.6)
    expected = BY_HAND[form](slow[0], slow[1], 0.6)
    found.backward()
    expected.backward()
    torch.testing.assert_close(found.detach().double(), expected.detach(), atol=1e-5, rtol=1e-5)
    for one, other in zip(ours, slow, strict=True):
        torch.testing.assert_close(one.grad.double(), other.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("form", ["infonce_cos", "soft_dot"])
def test_users_who_agree_with_their_teachers_cost_least(form):
    teachers = torch.eye(4) * 3
    right, wrong = (align(form, teachers, groups, 1.0) for groups in (teachers, teachers.roll(1, 0)))
    assert right < wrong
