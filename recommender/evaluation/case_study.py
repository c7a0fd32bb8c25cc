"""Whose interests brought a hit: scores of ISRF's direct task, taken apart neighbour by neighbour.

A score is a sum over users (ISRF, arXiv 2603.13934, eq. 4 and 7; ours: that both are in it):

    score(u, i) = <e_u, e_i> + w Σ_v W_uv <h_v, e_i>,   W = 1/(L_u + 1) Σ_l Ŝ^l,   h_v: row v of H(0)

A *brought* hit is a test item that the first term alone does not rank among a user's best K, and the whole
sum does. The item that stands at place K by the first term, its rival k, was ahead; what v brought is v's
part of how that changed, w W_uv <h_v, e_i - e_k>. These parts, one of them u's own, and the first term's lead
add up to the lead of the whole.

Letters: U users, I items, d embedding_dim, K cutoff, m test pairs.
"""

from dataclasses import dataclass

import numpy as np

from recommender.base import Recommender
from recommender.data import HeldOut, IntArray, TrainingData
from recommender.evaluate import Scorer, masked_scores, rank_held_out, top_lists
from recommender.evaluation.score_parts import ScoreParts, score_parts


@dataclass(frozen=True, slots=True)
class Neighbor:
    """What one other user added to a lead.

    Attributes:
        user: Row.
        lead: Part of the score difference between the hit and its rival.
        had_it: The hit is among this user's training items.
    """

    user: int
    lead: float
    had_it: bool


@dataclass(frozen=True, slots=True)
class Case:
    """A brought hit.

    Attributes:
        user: Row.
        item: Row of the hit.
        rival: Row of the item at place K by the user's individual interest.
        rank_before: Place of the hit by individual interest, from 1.
        rank_after: Its place by the whole score.
        lead_before: Score of the hit minus that of its rival, by individual interest; at most 0.
        lead_after: The same by the whole score.
        own_lead: What the user's own row of H(0) added.
        num_neighbors: Other users who added anything, for or against.
        best: Those of them who added most, largest first.
    """

    user: int
    item: int
    rival: int
    rank_before: int
    rank_after: int
    lead_before: float
    lead_after: float
    own_lead: float
    num_neighbors: int
    best: tuple[Neighbor, ...]

    @property
    def neighbors_lead(self) -> float:
        """What all other users added."""
        return self.lead_after - self.lead_before - self.own_lead


@dataclass(frozen=True, slots=True)
class GroupEffect:
    """What group interests did to a test part.

    Attributes:
        cutoff: K.
        num_pairs: Test pairs of users with training events.
        num_kept: Hits of individual interest that are hits of the whole score too.
        num_brought: Hits of the whole score alone.
        num_by_neighbors: Brought hits to whose lead neighbours added more than the user's own row of H(0).
        num_lost: Hits of individual interest alone.
        cases: Some brought hits, drawn evenly, by user.
    """

    cutoff: int
    num_pairs: int
    num_kept: int
    num_brought: int
    num_by_neighbors: int
    num_lost: int
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class _Studied:
    """What cases are taken from.

    Attributes:
        parts: Of the model.
        data: What it was fitted on.
        held_out: Its m test pairs.
        better: Two (m,): items above each pair by individual interest, and by the whole score.
        cutoff: K.
    """

    parts: ScoreParts
    data: TrainingData
    held_out: HeldOut
    better: tuple[IntArray, IntArray]
    cutoff: int


def group_effect(
    model: Recommender,
    data: TrainingData,
    held_out: HeldOut,
    *,
    cutoff: int = 10,
    num_cases: int = 5,
    num_best: int = 3,
    seed: int = 0,
) -> GroupEffect:
    """Count hits that groups brought and lost, and take some of the brought ones apart.

    Cost: two passes over the scores of all test users, then L_u products with the graph per brought hit.

    Args:
        model: A fitted `isrf` of the direct task.
        data: What it was fitted on.
        held_out: The test part.
        cutoff: K ≥ 1.
        num_cases: Cases at most.
        num_best: Neighbours of a case at most.
        seed: Of the draw of cases.

    Raises:
        UsageError: If the model has no group interests in its scores, or no graph.
    """
    parts = score_parts(model)
    ranks = [rank_held_out(score, held_out).better for score in (parts.score, model.score)]
    known = data.seen.degrees[held_out.users] > 0  # others are scored as an average user
    before, after = (better < cutoff for better in ranks)  # (m,) each
    brought = np.flatnonzero(known & after & ~before)
    studied = _Studied(parts, data, held_out, (ranks[0], ranks[1]), cutoff)
    found = [_case(studied, pair, num_best) for pair in brought.tolist()]
    generator = np.random.default_rng(seed)
    drawn = np.sort(generator.choice(len(found), min(num_cases, len(found)), replace=False))
    return GroupEffect(
        cutoff=cutoff,
        num_pairs=int(known.sum()),
        num_kept=int((known & before & after).sum()),
        num_brought=len(found),
        num_by_neighbors=sum(case.neighbors_lead > case.own_lead for case in found),
        num_lost=int((known & before & ~after).sum()),
        cases=tuple(found[place] for place in drawn.tolist()),
    )


def _case(studied: _Studied, pair: int, num_best: int) -> Case:
    parts, held_out = studied.parts, studied.held_out
    user, item = int(held_out.users[pair]), int(held_out.items[pair])
    rival = _at_place(parts.score, user, held_out, studied.cutoff)
    apart = parts.items[item] - parts.items[rival]  # (d,)
    leads = parts.weights(user) * (parts.groups @ apart.numpy())  # (U,)
    lead_before = float(parts.individual[user] @ apart)
    others = np.flatnonzero(leads)
    others = others[others != user]
    best = others[np.argsort(-leads[others], kind="stable")[:num_best]]
    neighbors = (Neighbor(v, float(leads[v]), item in studied.data.seen.of(v)) for v in best.tolist())
    return Case(
        user=user,
        item=item,
        rival=rival,
        rank_before=int(studied.better[0][pair]) + 1,
        rank_after=int(studied.better[1][pair]) + 1,
        lead_before=lead_before,
        lead_after=lead_before + float(leads.sum()),
        own_lead=float(leads[user]),
        num_neighbors=len(others),
        best=tuple(neighbors),
    )


def _at_place(score: Scorer, user: int, held_out: HeldOut, place: int) -> int:
    """The item at a place of a user's ranking, from 1."""
    scores = masked_scores(score, np.array([user]), held_out)
    return int(top_lists(scores, place)[0, -1])
