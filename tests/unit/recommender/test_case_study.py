"""Which neighbours brought a hit, against the sums written out."""

import numpy as np
import pytest
import torch
from isrf_by_hand import graph_by_hand, groups_by_hand
from toy_store import QUICK

from featurestore.errors import UsageError
from featurestore.progress import no_progress
from recommender.data import HeldOut, TrainingData
from recommender.evaluation.case_page import Names, render_cases
from recommender.evaluation.case_study import Case, GroupEffect, Neighbor, group_effect
from recommender.experiment import TrainRequest, train_models
from recommender.interests.model import GroupModel
from recommender.models.isrf import Config, Model
from recommender.testing import COLD_USER, checkerboard, checkerboard_features
from scripts.case_study import case_study

WEIGHT, CUTOFF = 0.7, 4
SETTINGS = {"epochs": 1, "batch_size": 64, "embedding_dim": 6, "init_std": 0.6, "num_neighbors": 4}


def fitted(**settings):
    data = checkerboard()[0]
    model = Model(Config(**(SETTINGS | {"group_weight": WEIGHT, "group_layers": 2} | settings)))
    model.fit(data, features=checkerboard_features(), seed=1, progress=no_progress)
    return model, data


@pytest.fixture(scope="module")
def world() -> tuple[GroupModel, TrainingData, HeldOut]:
    """Two test items of every user, and one of a user without training events."""
    model, data = fitted()
    lines = [(u, i) for u in range(40) for i in range(20) if i not in data.seen.of(u)]
    users, items = np.array([*lines[::3], (COLD_USER, 3)]).T
    return model, data, HeldOut(users, items, data.seen, data.num_items)


def by_hand(model: GroupModel) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(U, d) e of users, (I, d) e of items, (U, d) w H(0), (U, U) W."""
    arrays = model.arrays()
    own = torch.from_numpy(arrays["weights"]["parameter.interests.groups.own"]).double()
    neighbors = arrays["user_graph"]["neighbors"].astype(np.int64)
    users, items = (vectors.double() for vectors in model.vectors())
    step = graph_by_hand(neighbors)
    weights = (torch.eye(len(own), dtype=torch.float64) + step + step @ step) / 3
    return users - WEIGHT * groups_by_hand(own, neighbors, 2), items, WEIGHT * own, weights


def places(scores: torch.Tensor, held_out: HeldOut) -> list[int]:
    """Place of each pair, from 1, seen items left out."""
    found = []
    for user, item in zip(held_out.users.tolist(), held_out.items.tolist(), strict=True):
        rivals = [i for i in range(held_out.num_items) if i not in held_out.seen.of(user)]
        found.append(1 + sum(bool(scores[user, i] > scores[user, item]) for i in rivals))
    return found


def test_hits_are_counted_by_both_rankings(world):
    model, data, held_out = world
    users, items, groups, weights = by_hand(model)
    before = places(users @ items.T, held_out)
    after = places((users + weights @ groups) @ items.T, held_out)
    pairs = [(b <= CUTOFF, a <= CUTOFF) for b, a in zip(before, after, strict=True)][:-1]
    effect = group_effect(model, data, held_out, cutoff=CUTOFF, num_cases=1000)
    assert effect.num_pairs == len(held_out) - 1  # nothing is known of the user without events
    assert effect.num_kept == pairs.count((True, True))
    assert effect.num_brought == pairs.count((False, True)) == len(effect.cases) > 3
    assert effect.num_lost == pairs.count((True, False))
    found = {(case.user, case.item): (case.rank_before, case.rank_after) for case in effect.cases}
    for user, item, b, a in zip(held_out.users, held_out.items, before, after, strict=True):
        assert found.get((int(user), int(item)), (b, a)) == (b, a)


def test_parts_of_a_lead_are_those_of_the_sum(world):
    model, data, held_out = world
    users, items, groups, weights = by_hand(model)
    whole = torch.from_numpy(model.score(np.arange(data.num_users)))
    effect = group_effect(model, data, held_out, cutoff=CUTOFF, num_cases=1000, num_best=2)
    num_by_neighbors = 0
    for case in effect.cases:
        unseen = [i for i in range(data.num_items) if i not in data.seen.of(case.user)]
        ordered = sorted(unseen, key=lambda i: -float(users[case.user] @ items[i]))
        assert case.rival == ordered[CUTOFF - 1]
        apart = items[case.item] - items[case.rival]
        leads = {v: float(weights[case.user, v] * (groups[v] @ apart)) for v in range(data.num_users)}
        assert case.own_lead == pytest.approx(leads.pop(case.user), abs=1e-5)
        assert case.lead_before == pytest.approx(float(users[case.user] @ apart), abs=1e-5)
        assert case.lead_before <= 0
        assert case.neighbors_lead == pytest.approx(sum(leads.values()), abs=1e-5)
        lead = float(whole[case.user, case.item] - whole[case.user, case.rival])
        assert case.lead_after == pytest.approx(lead, abs=1e-5)
        assert case.num_neighbors == sum(weights[case.user, v] > 0 for v in leads)
        best = sorted(leads, key=lambda v: -leads[v])[:2]
        assert [n.user for n in case.best] == best
        assert [n.lead for n in case.best] == pytest.approx([leads[v] for v in best], abs=1e-5)
        assert [n.had_it for n in case.best] == [case.item in data.seen.of(v) for v in best]
        num_by_neighbors += sum(leads.values()) > case.own_lead
    assert effect.num_by_neighbors == num_by_neighbors > 0


def test_some_cases_are_drawn_by_a_seed(world):
    everything = group_effect(*world, cutoff=CUTOFF, num_cases=1000).cases
    some = [group_effect(*world, cutoff=CUTOFF, num_cases=3, seed=seed).cases for seed in (0, 0, 1)]
    assert some[0] == some[1] != some[2]
    assert set(some[0]) < set(everything)
    assert len(some[0]) == 3


def test_a_model_without_groups_in_its_scores_is_refused(world):
    _, data, held_out = world
    with pytest.raises(UsageError, match="no neighbour enters the scores of this isrf: user_graph=none, "):
        group_effect(fitted(user_graph="none")[0], data, held_out)
    with pytest.raises(UsageError, match="group_weight=0"):
        group_effect(fitted(group_weight=0.0)[0], data, held_out)
    with pytest.raises(UsageError, match="isrf has no interests of groups to take apart") as caught:
        group_effect(Model(Config(task="sequential")), data, held_out)
    assert caught.value.hint == "Train isrf with task=direct, the default."


def test_a_page_says_what_was_found():
    best = (Neighbor(5, 0.25, had_it=True), Neighbor(6, 0.125, had_it=False))
    case = Case(1, 2, 3, 31, 4, -0.5, 0.125, 0.25, 9, best)
    names = Names(
        users={1: "u1", 5: "u5", 6: "u6"},
        items={2: "A | B", 3: "C"},
        user_texts={1: "Likes\nloud *things*.", 5: "word " * 60},
        item_texts={},
    )
    page = render_cases(
        GroupEffect(10, 2_000, 7, 3, 2, 1, (case,)), names, title="Cases", source="Of a test."
    )
    assert page.startswith("# Cases\n\nOf a test.\n\nOf 2,000 test pairs, 7 are among the user's best 10")
    assert "brought 3 more and lost 1. Of those that it brought, 2 owe more to neighbours" in page
    assert "## A / B, for user u1\n\nThe user: *Likes loud things.*\n" in page
    assert (
        "Place 31 by individual interest, 4 with the group. Against C (place 10) the lead was -0.5000" in page
    )
    assert "own group vector added +0.2500, 9 neighbours +0.3750: +0.1250 in all." in page
    long = " ".join(["word"] * 32) + " …"
    assert f"| u5 | +0.2500 | yes | {long} |\n| u6 | +0.1250 | no |  |\n" in page


def test_hostile_names_do_nothing_to_a_page():
    case = Case(1, 2, 3, 31, 4, -0.5, 0.125, 0.25, 1, (Neighbor(1, 0.25, had_it=True),))
    title = "# One\n\n| <img src=x> [link](http://x) `code`"
    names = Names(users={1: "a\n|b"}, items={2: title, 3: "C"}, user_texts={1: "x" * 200}, item_texts={})
    page = render_cases(GroupEffect(10, 1, 0, 1, 1, 0, (case,)), names, title="Cases", source="Of a test.")
    assert "## # One / &lt;img src=x&gt; (link)(http://x) 'code', for user a /b\n" in page
    assert f"\n| a /b | +0.2500 | yes | {'x' * 160} … |\n" in page


def test_a_saved_model_gives_a_page(toy, tmp_path):
    settings = QUICK | {"epochs": "10", "group_weight": "1", "init_std": "0.5"}
    train_models(toy.release(), TrainRequest("isrf", settings, feature="item_text"), tmp_path / "ours")
    given = {"item_texts": "item_cot", "user_texts": None, "num_cases": 2}
    page = case_study(tmp_path / "ours", toy.release(), **given)
    assert page.startswith(
        "# Which neighbours brought a hit\n\nWritten by `scripts/case_study.py`: do not edit it by hand. "
        "`isrf`, seed 0, epoch 10; vectors of items: item_text, of users: the means of their items.\n"
    )
    assert "among the user's best 10 by individual interest" in page
    train_models(toy.release(), TrainRequest("popularity"), tmp_path / "p")
    with pytest.raises(UsageError, match="popularity has no interests of groups"):
        case_study(tmp_path / "p", toy.release(), **given)
