"""Which texts and nodes drove a ranking: sessions whose next item few had, taken apart.

An item of `recommender.models.llmgr` is e_i = g_i x_i + (1 - g_i) t̃_i, a score <s, e_i>. Of a session with a
cold target v, ours all:

    text of the target     its place where v is x_v alone
    texts of the session   its place where every click is read as its x alone
    node c of the graph    log p(v | s) - log p(v | s without c),  p the softmax over the catalogue

A node without which the target is less likely has a drop above zero. Letters: U sessions, I items, d
embedding_dim, m test pairs with a cold target.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch.nn.functional import log_softmax, normalize

from featurestore.errors import UsageError
from recommender.data import FloatArray, HeldOut, Histories, IntArray, TrainingData
from recommender.features import NodeFeatures
from recommender.model_arrays import load_parameters, project, saved_projections
from recommender.models.llmgr import Config, Network
from recommender.sequence.model import SequenceModel, history_states
from recommender.sequence.network import SessionEncoder

_PAIRS_AT_A_TIME: Final = 512


@dataclass(frozen=True, slots=True)
class Click:
    """A node of a session.

    Attributes:
        item: Row.
        gate: Share of its own vector; 1 where it has no text.
        drop: See the module's head; None where the session has no other node.
    """

    item: int
    gate: float
    drop: float | None


@dataclass(frozen=True, slots=True)
class SessionCase:
    """A session with a cold target that came into the best K.

    Attributes:
        user: Row of the session.
        item: Row of the target.
        degree: Training sessions that have it.
        gate: As of a click.
        place: Of the target, from 1.
        place_without_text: The same where the target has no text.
        place_without_texts: The same where no click has one.
        clicks: Different ones, oldest first.
    """

    user: int
    item: int
    degree: int
    gate: float
    place: int
    place_without_text: int
    place_without_texts: int
    clicks: tuple[Click, ...]


@dataclass(frozen=True, slots=True)
class ColdEffect:
    """What texts did for cold targets.

    Attributes:
        cutoff: K.
        max_degree: Training sessions that a cold item has at most.
        num_pairs: m.
        num_hits: Targets among the best K.
        num_hits_without: The same where nothing has a text.
        cases: Some hits, drawn evenly.
    """

    cutoff: int
    max_degree: int
    num_pairs: int
    num_hits: int
    num_hits_without: int
    cases: tuple[SessionCase, ...]


@dataclass(frozen=True)
class _Studied:
    """A model taken apart.

    Attributes:
        encoder: Reads sessions.
        whole: (I, d) e.
        own: (I, d) x.
        gates: (I,) float32 g; 1 where an item has no text.
        temperature: Of the softmax.
        histories: What every session had before its target.
        held_out: All test pairs.
    """

    encoder: SessionEncoder
    whole: torch.Tensor
    own: torch.Tensor
    gates: FloatArray
    temperature: float
    histories: Histories
    held_out: HeldOut


def cold_effect(
    model: SequenceModel,
    data: TrainingData,
    features: NodeFeatures,
    asked: tuple[Histories, HeldOut],
    *,
    max_degree: int = 10,
    cutoff: int = 20,
    num_cases: int = 5,
    seed: int = 0,
) -> ColdEffect:
    """Count cold targets that came into the best K, and take some of their sessions apart.

    Cost: four passes over the scores of all sessions with a cold target.

    Args:
        model: A fitted ``llmgr`` that reads texts.
        data: What it was fitted on.
        features: The vectors that it was fitted with.
        asked: What each session had before, and what came next.
        max_degree: Training sessions that a cold item has at most.
        cutoff: K ≥ 1.
        num_cases: Cases at most.
        seed: Of their draw.

    Raises:
        UsageError: If the model is no llmgr, or reads no texts.
    """
    studied = _taken_apart(model, data, features, asked)
    pairs = np.flatnonzero(data.item_degrees[studied.held_out.items] <= max_degree)
    whole, own = studied.whole, studied.own
    places = _places(studied, pairs, read=whole, ranked=whole)
    bare = _places(studied, pairs, read=own, ranked=own)
    hits = np.flatnonzero(places <= cutoff)
    generator = np.random.default_rng(seed)
    drawn = np.sort(generator.choice(hits, min(num_cases, len(hits)), replace=False))
    return ColdEffect(
        cutoff=cutoff,
        max_degree=max_degree,
        num_pairs=len(pairs),
        num_hits=len(hits),
        num_hits_without=int((bare <= cutoff).sum()),
        cases=tuple(_case(studied, int(pairs[n]), int(places[n]), data.item_degrees) for n in drawn),
    )


@torch.no_grad()
def _taken_apart(
    model: SequenceModel, data: TrainingData, features: NodeFeatures, asked: tuple[Histories, HeldOut]
) -> _Studied:
    config = model.config
    if not isinstance(config, Config):
        raise UsageError(
            f"{model.name} has no gates between items and their texts.", hint="Name a trained llmgr."
        )
    arrays = model.arrays()
    network = Network(config, data, project(saved_projections(arrays, model.name), features), 0)
    load_parameters(network, arrays["weights"])
    if network.semantic is None:
        raise UsageError("this llmgr reads no texts: fusion is none.", hint="Train it with fusion=gate.")
    own = network.layer_zero()
    whole = network.semantic(own)
    network.semantic.is_known.zero_()  # every gate closed: what is left is t̃
    apart = own - network.semantic(own)
    length = apart.square().sum(dim=1)
    shares = ((whole - own + apart) * apart).sum(dim=1) / length.clamp(min=1e-12)
    gates = torch.where(length > 0, shares, 1.0).numpy()
    if config.cosine_temperature is not None:
        whole, own = normalize(whole, dim=1), normalize(own, dim=1)
    return _Studied(network.encoder, whole, own, gates, config.cosine_temperature or 1.0, *asked)


def _places(studied: _Studied, pairs: IntArray, *, read: torch.Tensor, ranked: torch.Tensor) -> IntArray:
    """(n,) int64 places of some test pairs, seen items left out."""
    held_out = studied.held_out
    found = np.empty(len(pairs), np.int64)
    for start in range(0, len(pairs), _PAIRS_AT_A_TIME):
        part = pairs[start : start + _PAIRS_AT_A_TIME]
        users, items = held_out.users[part], torch.from_numpy(held_out.items[part])
        scores = history_states(studied.encoder, read, studied.histories, users) @ ranked.T
        lines, seen = held_out.seen.pairs_of(users)
        scores[torch.from_numpy(lines), torch.from_numpy(seen)] = -torch.inf
        own = scores.gather(1, items.unsqueeze(1))
        found[start : start + len(part)] = ((scores > own).sum(dim=1) + 1).numpy()
    return found


def _case(studied: _Studied, pair: int, place: int, degrees: IntArray) -> SessionCase:
    user, item = int(studied.held_out.users[pair]), int(studied.held_out.items[pair])
    whole, one = studied.whole, np.array([pair])
    without = whole.clone()
    without[item] = studied.own[item]
    return SessionCase(
        user=user,
        item=item,
        degree=int(degrees[item]),
        gate=float(studied.gates[item]),
        place=place,
        place_without_text=int(_places(studied, one, read=whole, ranked=without)[0]),
        place_without_texts=int(_places(studied, one, read=studied.own, ranked=whole)[0]),
        clicks=_clicks(studied, user, item),
    )


@torch.no_grad()
def _clicks(studied: _Studied, user: int, item: int) -> tuple[Click, ...]:
    history = studied.histories.of(user)[-studied.encoder.max_length :]
    nodes = list(dict.fromkeys(history.tolist()))
    kept = [history, *(history[history != node] for node in nodes)]
    lengths = [len(each) for each in kept]
    sessions = Histories(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), np.concatenate(kept))
    states = history_states(studied.encoder, studied.whole, sessions, np.arange(len(kept)))
    chances = log_softmax(states @ studied.whole.T / studied.temperature, dim=1)[:, item]
    drops = (chances[0] - chances[1:]).tolist()
    return tuple(
        Click(node, float(studied.gates[node]), drop if length else None)
        for node, drop, length in zip(nodes, drops, lengths[1:], strict=True)
    )
