"""HGPO's policy: which negatives a node is contrasted with, and at which temperature.

LGHRec (arXiv 2505.12396). State of a node v: its vector z_v, its positive's z_p, the mean of the candidates'
vectors and its degree d_v. Our reconstruction; forms of the released code are settings, see
`recommender.hgpo.released_forms`:

    logit_j = <W_a [z_v ‖ z_p], W_b z_j> + w·[cos(v, j), cos(p, j), ln(1 + d_j)]
    N* ~ Plackett-Luce(logits)                        M of P, `recommender.hgpo.plackett_luce`
    (μ, log s) = MLP [z_v ‖ z_p ‖ mean z_j ‖ ln(1 + d_v)]         to 256, to 128, ReLU
    x ~ N(μ, s²),    τ = τ_min + (τ_max - τ_min) sigmoid(x)
    log π = log π(N*) + log N(x; μ, s)                densities of x: τ's differ by what θ cannot change

Ours besides: vectors of length 1, of the views z' and z'' that are contrasted; ln(1 + d) where the released
code has d; ln(1 + d_v) is left out of the logits, where it would cancel;
bounds of τ are 0.05 and 1, in which T_ideal lies up to a degree of 10^8 (released: 0.01 and 2); the policy
begins with uniform negatives and with τ near the setting. Nodes of a batch share a pool, which makes all
logits one product of matrices; of a pool that is drawn uniformly each node still gets a uniform one.

Letters: m nodes, P candidates, M chosen, G actions per node, d embedding_dim.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch

from recommender.hgpo.config import HgpoConfig
from recommender.hgpo.plackett_luce import draw_ordered, log_probability

_HIDDEN: Final = (256, 128)
_LOG_STD_RANGE: Final = (-20.0, 2.0)
_FIRST_LOG_STD: Final = -1.0
_BARRED: Final = -1e9  # finite, so that 0 · log 0 is 0


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
class Outputs:
    """What the policy would do; None where something else decides.

    Attributes:
        logits: (m, P), those of what is barred far below all others.
        mean: (m,) μ.
        log_std: (m,) log s.
    """

    logits: torch.Tensor | None
    mean: torch.Tensor | None
    log_std: torch.Tensor | None


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
        self.choice: _ChoiceHead | _SlotHead | None = None
        if config.negatives_by == "hgpo":
            of_candidates = config.choice_head == "candidate"
            self.choice = _ChoiceHead(dim, generator) if of_candidates else _SlotHead(config, dim, generator)
        chooses = config.temperature_by == "hgpo"
        self.temperature = _TemperatureHead(config, dim, generator) if chooses else None

    def forward(self, state: State) -> Outputs:
        """For m nodes."""
        logits = None if self.choice is None else self.choice(state)
        mean, log_std = (None, None) if self.temperature is None else self.temperature(state)
        return Outputs(logits, mean, log_std)


@torch.no_grad()
def draw_action(outputs: Outputs, num_chosen: int, num_samples: int, noise: torch.Generator) -> Action:
    """G actions of every node, M candidates each.

    Args:
        outputs: Of m nodes.
        num_chosen: M.
        num_samples: G.
        noise: On the device of the outputs.
    """
    chosen = raw = None
    if (logits := outputs.logits) is not None:
        chosen = draw_ordered(logits.expand(num_samples, *logits.shape), num_chosen, noise)
    if outputs.mean is not None and outputs.log_std is not None:
        shape = num_samples, len(outputs.mean)
        draws = torch.randn(shape, generator=noise, device=outputs.mean.device)
        raw = outputs.mean + outputs.log_std.exp() * draws
    return Action(chosen, raw)


def log_probabilities(config: HgpoConfig, outputs: Outputs, action: Action) -> torch.Tensor:
    """(G, m) log π of actions."""
    parts: list[torch.Tensor] = []
    if (logits := outputs.logits) is not None and action.chosen is not None:
        chance = log_probability if config.choice_chance == "ordered" else summed_log_shares
        parts.append(chance(logits.expand(len(action.chosen), *logits.shape), action.chosen))
    if outputs.mean is not None and outputs.log_std is not None and action.raw is not None:
        distance = (action.raw - outputs.mean) * torch.exp(-outputs.log_std)  # (G, m)
        parts.append(-0.5 * distance.square() - outputs.log_std - 0.5 * math.log(2 * math.pi))
    return torch.stack(parts).sum(dim=0)


def entropies(outputs: Outputs) -> torch.Tensor:
    """(m,) entropy of the first choice plus that of x."""
    parts: list[torch.Tensor] = []
    if outputs.logits is not None:
        log_shares = torch.log_softmax(outputs.logits, dim=1)
        parts.append(-(log_shares.exp() * log_shares).sum(dim=1))
    if outputs.log_std is not None:
        parts.append(outputs.log_std + 0.5 * math.log(2 * math.pi * math.e))
    return torch.stack(parts).sum(dim=0)


def summed_log_shares(logits: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """(…,) Σ log softmax of (…, P) logits at (…, M) columns: the released form, no log-probability."""
    return torch.log_softmax(logits, dim=-1).gather(-1, chosen).sum(dim=-1)


def squash(config: HgpoConfig, raw: torch.Tensor) -> torch.Tensor:
    """τ of x, of any shape."""
    if config.temperature_form == "clamped":
        return raw.clamp(config.temperature_min, config.temperature_max)
    width = config.temperature_max - config.temperature_min
    return config.temperature_min + width * torch.sigmoid(raw)


def unsquash(config: HgpoConfig, temperature: float) -> float:
    """The x whose τ is given."""
    if config.temperature_form == "clamped":
        return temperature
    share = (temperature - config.temperature_min) / (config.temperature_max - config.temperature_min)
    return math.log(share / (1 - share))


class _ChoiceHead(torch.nn.Module):
    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.of_nodes = _linear(2 * dim, dim, generator)  # W_a
        self.of_candidates = _linear(dim, dim, generator, gain=0.01, bias=False)  # W_b
        self.features = torch.nn.Parameter(torch.zeros(3))  # w

    def forward(self, state: State) -> torch.Tensor:
        """(m, P) logits, those of what is barred far below all others."""
        near, near_positive, popular = self.features
        queries = self.of_nodes(torch.cat([state.nodes, state.positives], dim=1)) @ self.of_candidates.weight
        queries = queries + near * state.nodes + near_positive * state.positives  # (m, d)
        logits = torch.addmm(popular * state.candidate_degrees.log1p(), queries, state.candidates.T)
        return logits.masked_fill(state.is_barred, _BARRED)


class _StateHead(torch.nn.Module):
    """A small net over the state; the pool's part of its first layer is one row for all nodes."""

    def __init__(self, dim: int, num_outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        wide, narrow = _HIDDEN
        self.of_nodes = _linear(2 * dim + 1, wide, generator)
        self.of_pool = _linear(dim, wide, generator, bias=False)
        self.hidden = _linear(wide, narrow, generator)
        self.out = _linear(narrow, num_outputs, generator, gain=0.01)

    def read(self, state: State) -> torch.Tensor:
        """(m, outputs)."""
        own = torch.cat([state.nodes, state.positives, state.degrees.log1p().unsqueeze(1)], dim=1)
        pool = self.of_pool(state.candidates.mean(dim=0))  # (256,)
        hidden = torch.relu(self.of_nodes(own) + pool)  # (m, 256)
        return self.out(torch.relu(self.hidden(hidden)))


class _SlotHead(_StateHead):
    def __init__(self, config: HgpoConfig, dim: int, generator: torch.Generator) -> None:
        super().__init__(dim, config.pool_size, generator)

    def forward(self, state: State) -> torch.Tensor:
        """(m, P) logits of places, those of what is barred far below all others."""
        return self.read(state)[:, : len(state.candidates)].masked_fill(state.is_barred, _BARRED)


class _TemperatureHead(_StateHead):
    def __init__(self, config: HgpoConfig, dim: int, generator: torch.Generator) -> None:
        super().__init__(dim, 2, generator)
        with torch.no_grad():
            self.out.bias.copy_(torch.tensor([unsquash(config, config.temperature), _FIRST_LOG_STD]))

    def forward(self, state: State) -> tuple[torch.Tensor, torch.Tensor]:
        """(m,) μ and (m,) log s."""
        mean, log_std = self.read(state).unbind(dim=1)
        return mean, log_std.clamp(*_LOG_STD_RANGE)


def _linear(
    inputs: int, outputs: int, generator: torch.Generator, *, gain: float = 1.0, bias: bool = True
) -> torch.nn.Linear:
    """Glorot's weights, times ``gain``; a bias of zero, if any."""
    layer = torch.nn.Linear(inputs, outputs, bias=bias)
    torch.nn.init.xavier_uniform_(layer.weight, gain=gain, generator=generator)
    if bias:
        torch.nn.init.zeros_(layer.bias)
    return layer
