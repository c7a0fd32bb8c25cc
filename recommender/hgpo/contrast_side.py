"""A contrastive loss whose temperature and negatives are chosen for every node, for the nodes of one side.

LGHRec (arXiv 2505.12396); s are cosines, z'_v and z''_v two views of node v
(`recommender.hgpo.contrast_views`):

    L_CL = mean over v of -log  e(z''_v) / (e(z''_v) + Σ_{n in N*_v} e(z''_n)),   e(x) = exp(s(z'_v, x) / τ_v)

N*_v are M of P nodes of v's side that are drawn for every step, or, in the released form, items for users,
where an item that the user had takes the positive's place in state and rewards. State and rewards read these
views too, without gradients. What the released code does otherwise, `loss_negatives` and `state_of` can:
`recommender.hgpo.released_forms`. Who chooses:

    τ_v     the policy; a constant; T_ideal(d_v), the optimum of reward (5); a weight per group, by gradient
    N*_v    the policy; M of P alike; the M nearest of P (dynamic hard negatives); other nodes of the batch

Letters: m nodes, P candidates, M chosen, d embedding_dim.
"""

from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy, normalize

from recommender.hgpo.config import HgpoConfig
from recommender.hgpo.plackett_luce import columns_of_largest, draw_ordered
from recommender.hgpo.policy import State, squash, unsquash
from recommender.hgpo.rewards import ideal_temperature, node_groups
from recommender.hgpo.side import Decision, HgpoAgent
from recommender.training.full_softmax import catalogue_cross_entropy


@dataclass(frozen=True, slots=True)
class Seen:
    """What state and rewards see, where that is not what is contrasted.

    Attributes:
        nodes: (m, d) of the nodes.
        partners: (m, d) of the partners.
        candidates: (P, d) of the pool.
    """

    nodes: torch.Tensor
    partners: torch.Tensor
    candidates: torch.Tensor


@dataclass(frozen=True, slots=True)
class Contrasted:
    """Nodes of one side in one step.

    Attributes:
        nodes: (m,) int64 rows of the side.
        partners: (m,) int64 rows of the pool's side, which are no negatives: the nodes, or an item of theirs.
        pool: (P,) int64 rows of the pool's side.
        own: (m, d) z' of the nodes.
        positives: (m, d) z'' of the nodes.
        partner_vectors: (m, d) z'' of the partners.
        candidates: (P, d) z'' of the pool.
        seen: What state and rewards see; None: the views.
    """

    nodes: torch.Tensor
    partners: torch.Tensor
    pool: torch.Tensor
    own: torch.Tensor
    positives: torch.Tensor
    partner_vectors: torch.Tensor
    candidates: torch.Tensor
    seen: Seen | None = None


class ContrastSide(torch.nn.Module):
    """The contrast of users, or of items.

    Args:
        config: Settings.
        degrees: (n,) float32 of the side's nodes.
        pool_degrees: (n',) float32 of the nodes that pools are drawn from.
        generator: Of a policy's first weights.
    """

    degrees: torch.Tensor
    pool_degrees: torch.Tensor
    groups: torch.Tensor

    def __init__(
        self,
        config: HgpoConfig,
        degrees: torch.Tensor,
        pool_degrees: torch.Tensor,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self._config = config
        self.register_buffer("degrees", degrees, persistent=False)
        self.register_buffer("pool_degrees", pool_degrees, persistent=False)
        self.register_buffer("groups", node_groups(config, degrees), persistent=False)
        self.agent = HgpoAgent(config, config.embedding_dim, generator) if config.has_policy else None
        self.raw_temperatures: torch.nn.Parameter | None = None
        if config.temperature_by == "learned":
            start = torch.full((config.num_groups,), unsquash(config, config.temperature))
            self.raw_temperatures = torch.nn.Parameter(start)  # (K,)

    def draw_pool(self, noise: torch.Generator) -> torch.Tensor:
        """(P,) int64 distinct rows of the pool's side, all of them if they are fewer; none if unread."""
        size = 0 if self._config.negatives_by == "in_batch" and self.agent is None else self._config.pool_size
        everything = torch.randperm(len(self.pool_degrees), generator=noise, device=noise.device)
        return everything[:size]

    def forward(self, given: Contrasted, noise: torch.Generator) -> torch.Tensor:
        """L_CL: a scalar, 0 if there is no negative for a node."""
        in_batch = self._config.negatives_by == "in_batch"
        num_chosen = min(self._config.num_chosen, len(given.pool) - 1)
        if num_chosen < 1 and not in_batch:
            return given.own.sum() * 0.0
        with torch.autocast(given.own.device.type, enabled=False):
            own, positives, candidates = (
                normalize(vectors.float(), dim=1)
                for vectors in (given.own, given.positives, given.candidates)
            )
            cosines = own @ candidates.T  # (m, P)
            state = self._state(given, own, positives, candidates, cosines)
            decision = Decision(None, None)
            if self.agent is not None:
                decision = self.agent.decide(state, self.groups[given.nodes], num_chosen, noise)
            temperatures = self._temperatures(given.nodes, decision)  # (m,)
            if in_batch or self._config.loss_negatives == "in_batch":
                rows = torch.arange(len(own), device=own.device)
                return catalogue_cross_entropy(own / temperatures.unsqueeze(1), positives, rows)
            chosen = self._chosen(state, decision, num_chosen, noise)  # (m, M)
            return contrast_with_chosen(own, positives, cosines.gather(1, chosen), temperatures)

    def learn(self, *, everything: bool) -> None:
        """Update the policy, if there is one and its buffer is full, or in any case."""
        if self.agent is not None:
            self.agent.learn(at_least=1 if everything else self._config.buffer_size)

    @torch.no_grad()
    def _state(
        self,
        given: Contrasted,
        own: torch.Tensor,
        positives: torch.Tensor,
        candidates: torch.Tensor,
        cosines: torch.Tensor,
    ) -> State:
        if given.seen is not None:
            own, partners, candidates = (
                normalize(vectors.float(), dim=1)
                for vectors in (given.seen.nodes, given.seen.partners, given.seen.candidates)
            )
            return self._state_of(given, own, partners, candidates, own @ candidates.T)
        is_own = given.partner_vectors is given.positives
        partners = positives if is_own else normalize(given.partner_vectors.float(), dim=1)
        return self._state_of(given, own, partners, candidates, cosines)

    def _state_of(
        self,
        given: Contrasted,
        own: torch.Tensor,
        partners: torch.Tensor,
        candidates: torch.Tensor,
        cosines: torch.Tensor,
    ) -> State:
        return State(
            nodes=own.detach(),
            positives=partners.detach(),
            candidates=candidates.detach(),
            to_nodes=cosines.detach(),
            to_positives=partners @ candidates.T,
            degrees=self.degrees[given.nodes],
            candidate_degrees=self.pool_degrees[given.pool],
            is_barred=given.partners.unsqueeze(1) == given.pool,
        )

    def _temperatures(self, nodes: torch.Tensor, decision: Decision) -> torch.Tensor:
        """(m,) τ."""
        if decision.temperatures is not None:
            return decision.temperatures
        if self.raw_temperatures is not None:
            return squash(self._config, self.raw_temperatures)[self.groups[nodes]]
        if self._config.temperature_by == "ideal":
            return ideal_temperature(self.degrees[nodes])
        return torch.full_like(self.degrees[nodes], self._config.temperature)

    def _chosen(
        self, state: State, decision: Decision, num_chosen: int, noise: torch.Generator
    ) -> torch.Tensor:
        """(m, M) int64 candidates."""
        if decision.chosen is not None:
            return decision.chosen
        is_hard = self._config.negatives_by == "hard"
        scores = state.to_nodes if is_hard else torch.zeros_like(state.to_nodes)
        scores = scores.masked_fill(state.is_barred, -torch.inf)
        if is_hard:
            return columns_of_largest(scores, num_chosen)
        return draw_ordered(scores, num_chosen, noise)


def contrast_with_chosen(
    own: torch.Tensor, positives: torch.Tensor, negative: torch.Tensor, temperatures: torch.Tensor
) -> torch.Tensor:
    """L_CL.

    Args:
        own: (m, d) z' of length 1.
        positives: (m, d) z'' of length 1.
        negative: (m, M) cosines of z' and the candidates chosen.
        temperatures: (m,) τ > 0.

    Returns:
        A scalar. Vectors and cosines get gradients, and temperatures if they learn.
    """
    positive = (own * positives).sum(dim=1, keepdim=True)  # (m, 1)
    logits = torch.cat([positive, negative], dim=1) / temperatures.unsqueeze(1)
    return cross_entropy(logits, torch.zeros(len(own), dtype=torch.int64, device=own.device))
