"""LLMGR, served without a language model: a model of sessions whose items a tuned decoder has a say in.

LLMGR (arXiv 2402.16539) ranks by the state of a 7-billion-parameter decoder that reads session graphs; see
`llm_jobs.tuning.llmgr_job`. Nobody asks one online. Our reconstruction of what stays of it:

    e_i = gate of x_i and t̃_i, t̃ an MLP of the stored t_v             `recommender.text.semantic_items`
    score(session, i) = <s, e_i>,  s by the base's encoder over e        base=gcsan, gru4rec, stamp, ...
    loss = mean over events of -log softmax_i <s, e_i>
           + reg · half the mean squared length of targets' x + λ_KL L_KL  `recommender.session.teacher_lists`

x is learned, as the base learns it. Without vectors, or with ``fusion=none``, this is the base, to the bit.
Items that have a text and no training session are left out of the softmax: as wrong answers to everything,
they would teach the MLP to tell new items from others. On a base of cosines (niser, whose temperature τ is
the default then) e_i and s are normalised, and every softmax is that of scores / τ. ``semantic_max_degree``
keeps t̃ to cold and rare items, at a threshold that the validation part chooses (`featurestore search`).
``teacher`` names lists that ``featurestore tune llmgr --stage behaviour`` wrote; without, there is no L_KL.
The base's own settings are its defaults. Letters: U sessions, I items, T events of a batch, d embedding_dim.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import torch
from pydantic import Field, model_validator
from torch.nn.functional import normalize

from recommender.data import TrainingData
from recommender.models import gcsan, gru4rec, narm, niser, srgnn, stamp
from recommender.search_space import RANKING_SPACE, Choice, LogUniform, SearchSpace
from recommender.sequence.model import SequenceModel, history_states
from recommender.sequence.network import SessionConfig, SessionEncoder
from recommender.sequence.sequences import SequenceBatch, Sequences, SequenceSampler
from recommender.session.teacher_lists import TeacherLists, load_teacher, teacher_divergence
from recommender.text.layer_zero import LayerZero, NodeVectors
from recommender.text.semantic_items import SemanticItems
from recommender.training.embedding_config import Fusion
from recommender.training.full_softmax import catalogue_cross_entropy

Base: TypeAlias = Literal["gcsan", "gru4rec", "stamp", "srgnn", "narm", "niser"]
NewEncoder: TypeAlias = Callable[[Any, torch.Generator], SessionEncoder]
_BASES: Final[Mapping[Base, tuple[type[SessionConfig], NewEncoder]]] = MappingProxyType(
    {
        "gcsan": (gcsan.Config, gcsan.new_encoder),
        "gru4rec": (gru4rec.Config, gru4rec.Encoder),
        "stamp": (stamp.Config, stamp.Encoder),
        "srgnn": (srgnn.Config, srgnn.new_encoder),
        "narm": (narm.Config, narm.Encoder),
        "niser": (niser.Config, niser.new_encoder),
    }
)


class Config(SessionConfig):
    """Settings of LLMGR's small model."""

    base: Base = Field(default="gcsan", description="The model whose encoder reads sessions.")
    fusion: Fusion = Field(
        default="gate", description="Texts join items by a gate, or nobody looks at them (none)."
    )
    semantic_max_degree: int | None = Field(
        default=None,
        ge=1,
        description="Items of more training sessions are their own vector alone; none lets texts into all. "
        "The MLP learns from items that somebody had, so that there must be some.",
    )
    id_dropout: float = Field(
        default=0.1, ge=0, lt=1, description="Share of items with a text that a batch reads by it alone."
    )
    teacher: str | None = Field(
        default=None, description="File with lists of a tuned decoder to learn from; none for no teacher."
    )
    teacher_weight: float = Field(default=0.5, ge=0, description="λ_KL: how much the teacher's lists count.")

    @model_validator(mode="after")
    def _fits_the_formulas(self) -> "Config":
        if self.temperature is not None and self.base != "niser":
            raise ValueError(f"{self.base} scores by inner products; leave temperature out")
        if self.fusion not in {"gate", "none"}:
            raise ValueError(f"llmgr has no fusion {self.fusion!r}; take gate or none")
        return self

    @property
    def files_read(self) -> tuple[Path, ...]:
        """What training reads beside the release; other content is another training."""
        return () if self.teacher is None else (Path(self.teacher),)

    @property
    def cosine_temperature(self) -> float | None:
        """τ of a base that scores by cosines; None of one that scores by inner products."""
        if self.base != "niser":
            return None
        return self.temperature or niser.Config().temperature


SPACE: Final[SearchSpace] = {
    **RANKING_SPACE,
    "semantic_max_degree": Choice((3, 5, 10, 20, 50, 1_000_000)),
    "teacher_weight": LogUniform(0.05, 2.0),
}


class Network(torch.nn.Module):
    """The trainable part.

    Args:
        config: Settings.
        data: Its training histories are learned from.
        vectors: Projected vectors t of items; those of users are not read.
        seed: Of the first weights.
    """

    _ranked: torch.Tensor
    _places: torch.Tensor

    def __init__(self, config: Config, data: TrainingData, vectors: NodeVectors, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self._config, self._data, self._temperature = config, data, config.cosine_temperature
        self._sampler = SequenceSampler(data.histories, config.batch_size, config.max_length)
        self._teacher: TeacherLists | None = None
        self.layer_zero = LayerZero(config, num_users=0, num_items=data.num_items, generator=generator)
        self.encoder = new_encoder(config, generator)
        self.semantic: SemanticItems | None = None
        ranked = np.ones(data.num_items, np.bool_)
        if vectors[1] is not None and config.fusion != "none":
            self.semantic = SemanticItems(
                vectors[1],
                data.item_degrees,
                max_degree=config.semantic_max_degree,
                dim=config.embedding_dim,
                std=config.init_std,
                generator=generator,
            )
            ranked = (data.item_degrees > 0) | ~vectors[1].any(axis=1)
        self.register_buffer("_ranked", torch.from_numpy(np.flatnonzero(ranked)), persistent=False)
        self.register_buffer("_places", torch.from_numpy(np.cumsum(ranked) - 1), persistent=False)

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[SequenceBatch]:
        """See `Trainable.epoch`; reads the teacher's lists first, if there is one.

        Raises:
            InputError, StoreError, UsageError: See `recommender.session.teacher_lists.load_teacher`.
        """
        if self._config.teacher is not None and self._teacher is None:
            self._teacher = load_teacher(Path(self._config.teacher), self._data)
        return self._sampler.epoch(generator)

    def loss(self, batch: SequenceBatch, noise: torch.Generator) -> torch.Tensor:
        """See the module's head."""
        config, ids = self._config, self.layer_zero()
        items = self._items(ids, noise)
        states = self.encoder(items, batch.sequences, noise) / (self._temperature or 1.0)  # (T, d)
        targets = torch.from_numpy(batch.targets).to(items.device)
        ranked = items if len(self._ranked) == len(items) else items.index_select(0, self._ranked)
        loss = catalogue_cross_entropy(states, ranked, self._places[targets])
        if config.reg:
            wanted = ids.index_select(0, targets)
            loss = loss + config.reg * wanted.square().sum() / (2 * len(targets))
        if self._teacher is None:
            return loss
        newest = torch.from_numpy(batch.sequences.newest).to(items.device)
        asked = states.index_select(0, newest)  # (b, d)
        return loss + config.teacher_weight * teacher_divergence(asked, items, self._teacher, batch.rows)

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) states of all training sessions, zero where there is none, and (I, d) item vectors."""
        items, histories = self._items(self.layer_zero()), self._data.histories
        return history_states(self.encoder, items, histories, np.arange(len(histories))), items.clone()

    def _items(self, ids: torch.Tensor, noise: torch.Generator | None = None) -> torch.Tensor:
        items = ids if self.semantic is None else self.semantic(ids, self._config.id_dropout, noise)
        return items if self._temperature is None else normalize(items, dim=1)


class UnitStates(torch.nn.Module):
    """An encoder whose states are normalised; a state of zeros stays.

    Args:
        encoder: Makes them.
    """

    def __init__(self, encoder: SessionEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.max_length = encoder.max_length

    def forward(
        self, items: torch.Tensor, sequences: Sequences, noise: torch.Generator | None = None
    ) -> torch.Tensor:
        """(T, d) states; see `recommender.sequence.network.SessionEncoder`."""
        return normalize(self.encoder(items, sequences, noise), dim=1)


def new_encoder(config: Config, generator: torch.Generator | None = None) -> SessionEncoder:
    """The base's encoder, with first weights of a generator."""
    config_type, make = _BASES[config.base]
    shared = {name: getattr(config, name) for name in SessionConfig.model_fields}
    encoder = make(
        config_type.model_validate(shared | {"temperature": config.cosine_temperature}),
        generator or torch.Generator(),
    )
    return encoder if config.cosine_temperature is None else UnitStates(encoder)


Model = partial(SequenceModel, "llmgr", Network, new_encoder)
