"""HGPO's policy: which negatives a node is contrasted with, and at which temperature.

LGHRec (arXiv 2505.12396). State of a node v: its vector z_v, its positive's z_p, the mean of the candidates'
vectors and ln(1 + degree). In the released code a logit belongs to a place in the pool, whose items change
with every draw, and the temperature is clamped after its log-probability is taken. Our reconstruction:

    logit_j = <W_a [z_v ‖ z_p], W_b z_j> + w·[cos(v, j), cos(p, j), ln(1 + d_j)]
    N* ~ Plackett-Luce(logits)                        M of P, `recommender.plackett_luce`
    (μ, log s) = MLP [z_v ‖ z_p ‖ mean z_j ‖ ln(1 + d_v)]         to 256, to 128, ReLU
    x ~ N(μ, s²),    τ = τ_min + (τ_max - τ_min) sigmoid(x)
    log π = log π(N*) + log N(x; μ, s)                densities of x: τ's differ by what θ cannot change

Ours besides: vectors of length 1; ln(1 + d_v) is left out of the logits, where it would cancel; the policy
begins with uniform negatives and with τ near the setting. Nodes of a batch share a pool, which makes all
logits one product of matrices; of a pool that is drawn uniformly each node still gets a uniform one.

Letters: m nodes, P candidates, M chosen, G actions per node, d embedding_dim.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch

from recommender.hgpo_config import HgpoConfig
from recommender.plackett_luce import draw_ordered, log_probability

_HIDDEN: Final = (256, 128)
_LOG_STD_RANGE: Final = (-20.0, 2.0)
_FIRST_LOG_STD: Final = -1.0


@dataclass(frozen=True, slots=True)
class State:
    """What the policy sees of m nodes; no gradient leads out of it.

    Attributes:
        nodes: (m, d) z_v of length 1.
        positives: (m, d) z_p of length 1.
        candidates: (P, d) z_j of length 1.
        to_nodes: (m, P) cos(v, j).
        to_positives: (m, P) cos(p, j).
        degrees: (m,) d_v as float32.
        candidate_degrees: (P,) d_j as float32.
        is_barred: (m, P) bool: candidates that are no negative of the node.
    """

    nodes: torch.Tensor
    positives: torch.Tensor
    candidates: torch.Tensor
    to_nodes: torch.Tensor
    to_positives: torch.Tensor
    degrees: torch.Tensor
    candidate_degrees: torch.Tensor
    is_barred: torch.Tensor


@dataclass(frozen=True, slots=True)
class Action:
    """What the policy did; None where something else decides.

    Attributes:
        chosen: (G, m, M) int64 candidates in the order drawn.
        raw: (G, m) x.
    """

    chosen: torch.Tensor | None
    raw: torch.Tensor | None


class Policy(torch.nn.Module):
    """Both heads, or one of them.

    Args:
        config: Settings.
        dim: d.
        generator: Of the first weights.
    """

    def __init__(self, config: HgpoConfig, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.choice = _ChoiceHead(dim, generator) if config.negatives_by == "hgpo" else None
        chooses = config.temperature_by == "hgpo"
        self.temperature = _TemperatureHead(config, dim, generator) if chooses else None

    @torch.no_grad()
    def act(self, state: State, num_chosen: int, num_samples: int, noise: torch.Generator) -> Action:
        """Draw actions.

        Args:
            state: Of m nodes.
            num_chosen: M.
            num_samples: G.
            noise: On the state's device.
        """
        chosen = raw = None
        if self.choice is not None:
            logits = self.choice(state)
            chosen = draw_ordered(logits.expand(num_samples, *logits.shape), num_chosen, noise)
        if self.temperature is not None:
            mean, log_std = self.temperature(state)
            shape = num_samples, len(mean)
            draws = torch.randn(shape, generator=noise, device=mean.device)
            raw = mean + log_std.exp() * draws
        return Action(chosen, raw)

    def forward(self, state: State, action: Action) -> tuple[torch.Tensor, torch.Tensor]:
        """(G, m) log π of actions, and (m,) entropy: of the first choice and of x."""
        log_probs = entropy = state.nodes.new_zeros(())
        if self.choice is not None and action.chosen is not None:
            logits = self.choice(state)  # (m, P)
            expanded = logits.expand(len(action.chosen), *logits.shape)
            log_probs = log_probs + log_probability(expanded, action.chosen)
            entropy = entropy + _categorical_entropy(logits)
        if self.temperature is not None and action.raw is not None:
            mean, log_std = self.temperature(state)
            distance = (action.raw - mean) * torch.exp(-log_std)  # (G, m)
            log_probs = log_probs - 0.5 * distance.square() - log_std - 0.5 * math.log(2 * math.pi)
            entropy = entropy + log_std + 0.5 * math.log(2 * math.pi * math.e)
        return log_probs, entropy


def squash(config: HgpoConfig, raw: torch.Tensor) -> torch.Tensor:
    """τ of x, of any shape."""
    width = config.temperature_max - config.temperature_min
    return config.temperature_min + width * torch.sigmoid(raw)


def unsquash(config: HgpoConfig, temperature: float) -> float:
    """The x whose τ is given."""
    share = (temperature - config.temperature_min) / (config.temperature_max - config.temperature_min)
    return math.log(share / (1 - share))


class _ChoiceHead(torch.nn.Module):
    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.of_nodes = _linear(2 * dim, dim, generator)  # W_a
        self.of_candidates = _linear(dim, dim, generator, gain=0.01)  # W_b
        self.features = torch.nn.Parameter(torch.zeros(3))  # w

    def forward(self, state: State) -> torch.Tensor:
        """(m, P) logits; -inf of what is barred."""
        queries = self.of_nodes(torch.cat([state.nodes, state.positives], dim=1))  # (m, d)
        logits = queries @ self.of_candidates(state.candidates).T  # (m, P)
        near, near_positive, popular = self.features
        logits = logits + near * state.to_nodes + near_positive * state.to_positives
        logits = logits + popular * state.candidate_degrees.log1p()
        return logits.masked_fill(state.is_barred, -torch.inf)


class _TemperatureHead(torch.nn.Module):
    def __init__(self, config: HgpoConfig, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        wide, narrow = _HIDDEN
        self.of_nodes = _linear(2 * dim + 1, wide, generator)
        self.of_pool = _linear(dim, wide, generator)
        self.hidden = _linear(wide, narrow, generator)
        self.out = _linear(narrow, 2, generator, gain=0.01)
        with torch.no_grad():
            self.out.bias.copy_(torch.tensor([unsquash(config, config.temperature), _FIRST_LOG_STD]))

    def forward(self, state: State) -> tuple[torch.Tensor, torch.Tensor]:
        """(m,) μ and (m,) log s. The pool's part of the first layer is one row for all nodes."""
        own = torch.cat([state.nodes, state.positives, state.degrees.log1p().unsqueeze(1)], dim=1)
        pool = self.of_pool(state.candidates.mean(dim=0))  # (256,)
        hidden = torch.relu(self.of_nodes(own) + pool)  # (m, 256)
        mean, log_std = self.out(torch.relu(self.hidden(hidden))).unbind(dim=1)
        return mean, log_std.clamp(*_LOG_STD_RANGE)


def _categorical_entropy(logits: torch.Tensor) -> torch.Tensor:
    """(m,) entropy of softmax; -inf counts nothing."""
    log_shares = torch.log_softmax(logits, dim=1)
    shares = log_shares.exp()
    return -(shares * log_shares.masked_fill(log_shares.isinf(), 0.0)).sum(dim=1)


def _linear(inputs: int, outputs: int, generator: torch.Generator, gain: float = 1.0) -> torch.nn.Linear:
    """Glorot's weights, times ``gain``; biases zero."""
    layer = torch.nn.Linear(inputs, outputs)
    torch.nn.init.xavier_uniform_(layer.weight, gain=gain, generator=generator)
    torch.nn.init.zeros_(layer.bias)
    return layer
