"""States of a policy made by hand: vectors of length 1, cosines with them."""

import torch
from torch.nn.functional import normalize

from recommender.hgpo.policy import State


def random_state(
    num_nodes: int, num_candidates: int, dim: int, generator: torch.Generator, degrees: torch.Tensor
) -> State:
    """Nothing is barred, and all candidates have degree 1."""
    nodes, positives, candidates = (
        normalize(torch.randn(rows, dim, generator=generator), dim=1)
        for rows in (num_nodes, num_nodes, num_candidates)
    )
    return state_of(nodes, positives, candidates, degrees)


def state_of(
    nodes: torch.Tensor, positives: torch.Tensor, candidates: torch.Tensor, degrees: torch.Tensor
) -> State:
    """The state of given vectors."""
    return State(
        nodes=nodes,
        positives=positives,
        candidates=candidates,
        to_nodes=nodes @ candidates.T,
        to_positives=positives @ candidates.T,
        degrees=degrees,
        candidate_degrees=torch.ones(len(candidates)),
        is_barred=torch.zeros(len(nodes), len(candidates), dtype=torch.bool),
    )
