"""LGHRec: any graph model, with a contrast whose negatives and temperatures a policy chooses.

LGHRec (arXiv 2505.12396), E(0) the backbone's layer-0 embeddings:

    E(0) = W [E_id ‖ Ẽ] + b of items with a text    `recommender.text.layer_zero`, fusion=concat
    loss = loss of the backbone + λ_cl (L_CL of users + L_CL of items)
    L_CL: `recommender.hgpo.contrast_side` over `recommender.hgpo.contrast_views`; the policy:
    `recommender.hgpo.side`

Scores are the backbone's. Its own contrast, where it has one, stays; ``backbone_settings`` can weigh it 0.
With ``contrast_weight=0`` this is the backbone to the bit, so that "with and without" are settings: features
give the semantic ID, the weight gives HGPO. What HGPO is measured against are settings too, see
`recommender.hgpo.config`: temperature_by=fixed, ideal or learned; negatives_by=uniform, hard or in_batch;
groups=none; harmony_weight=0; entropy_weight=0. So are forms of the released code, see
`recommender.hgpo.released_forms`.

Settings that every model has (``embedding_dim``, ``reg``, ``fusion``, …) are set here and handed on. The
backbone's others are its own defaults unless named: ``backbone_settings=num_layers=2,drop_rate=0.2``.

Our reconstruction: what the texts leave open is said in the files named above. MixGCF keeps the negatives of
its ranking loss, and NGCF, DirectAU and BPR-MF are contrasted over views that propagate as LightGCN does.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol, TypeAlias

import numpy as np
import torch
from pydantic import Field, ValidationError, model_validator

from recommender.data import TrainingData
from recommender.features import NodeFeatures
from recommender.graph.nodes import batch_nodes
from recommender.hgpo.config import HgpoConfig
from recommender.hgpo.contrast_side import Contrasted, ContrastSide, Seen
from recommender.hgpo.contrast_views import ContrastViews
from recommender.hgpo.reading import SIDES, PolicyReading, read_policy
from recommender.model_arrays import load_parameters, project, saved_projections
from recommender.models import (
    bpr_mf,
    directau,
    lightgcl,
    lightgcn,
    mixgcf,
    ncl,
    ngcf,
    sgl,
    simgcl,
    xsimgcl,
)
from recommender.search_space import RANKING_SPACE, LogUniform, SearchSpace
from recommender.text.layer_zero import LayerZero, NodeVectors
from recommender.training.embedding_config import EmbeddingConfig, Fusion
from recommender.training.sampling import PairBatch
from recommender.training.trainer import Trainable
from recommender.vector_model import VectorModel

Backbone: TypeAlias = Literal[
    "lightgcn", "sgl", "simgcl", "xsimgcl", "ncl", "lightgcl", "directau", "ngcf", "bpr_mf", "mixgcf"
]


class BackboneNetwork(Trainable[PairBatch], Protocol):
    """A `torch.nn.Module` of layer-0 embeddings."""

    layer_zero: LayerZero


NetworkType: TypeAlias = Callable[[Any, TrainingData, NodeVectors, int], BackboneNetwork]
_BACKBONES: Final[Mapping[Backbone, tuple[type[EmbeddingConfig], NetworkType]]] = MappingProxyType(
    {
        "lightgcn": (lightgcn.Config, lightgcn.Network),
        "sgl": (sgl.Config, sgl.Network),
        "simgcl": (simgcl.Config, simgcl.Network),
        "xsimgcl": (xsimgcl.Config, xsimgcl.Network),
        "ncl": (ncl.Config, ncl.Network),
        "lightgcl": (lightgcl.Config, lightgcl.Network),
        "directau": (directau.Config, directau.Network),
        "ngcf": (ngcf.Config, ngcf.Network),
        "bpr_mf": (bpr_mf.Config, bpr_mf.Network),
        "mixgcf": (mixgcf.Config, mixgcf.Network),
    }
)


class Config(HgpoConfig):
    """Settings of LGHRec."""

    backbone: Backbone = Field(default="lightgcn", description="The model that is trained and scores.")
    backbone_settings: str = Field(
        default="", description="Settings of the backbone alone, such as num_layers=2,drop_rate=0.2."
    )
    fusion: Fusion = Field(
        default="concat", description="How vectors of a release join ID embeddings; concat is LGHRec's."
    )

    @model_validator(mode="after")
    def _backbone_knows_its_settings(self) -> "Config":
        backbone_config(self)
        return self


SPACE: Final[SearchSpace] = {
    **RANKING_SPACE,
    "contrast_weight": LogUniform(0.01, 0.5),
    "temperature": LogUniform(0.06, 0.9),  # inside the bounds that hgpo's and learned ones have
}


class Network(torch.nn.Module):
    """The backbone, the contrast of both sides, and their policies. U users, I items, d embedding_dim.

    Args:
        config: Settings.
        data: Its training pairs become the graph.
        vectors: Projected vectors of users and items.
        seed: Of the first weights.
    """

    def __init__(self, config: Config, data: TrainingData, vectors: NodeVectors, seed: int) -> None:
        super().__init__()
        self._config = config
        self._num_users = data.num_users
        _, network_type = _BACKBONES[config.backbone]
        self.backbone: BackboneNetwork = network_type(backbone_config(config), data, vectors, seed)
        contrasts = config.contrast_weight > 0
        self._views = ContrastViews(config, data) if contrasts else None
        self._sides = _sides(config, data, seed) if contrasts else []  # of users, of items
        self.contrasts = torch.nn.ModuleList(self._sides)

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self.backbone.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """See `Trainable.epoch`; cuts the views first, and lets policies learn between batches."""
        batches = self.backbone.epoch(generator)
        if self._views is not None:
            self._views.begin_epoch(generator, self.backbone.layer_zero.ids.device)
        for batch in batches:
            yield batch
            self._learn(everything=False)
        self._learn(everything=True)

    def loss(self, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        """The backbone's loss + λ_cl · L_CL of one batch."""
        loss = self.backbone.loss(batch, noise)
        if self._views is None:
            return loss
        return loss + self._config.contrast_weight * self._contrast(self._views, batch, noise)

    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Trainable.score_vectors`: the backbone's."""
        return self.backbone.score_vectors()

    @torch.no_grad()
    def read_policies(self, num_batches: int, seed: int) -> tuple[PolicyReading, ...]:
        """What the policies of users and of items do in some batches; nothing is learned.

        Args:
            num_batches: The first of one epoch.
            seed: Of batches, cuts and noise.
        """
        if self._views is None or not self._config.has_policy:
            return ()
        device = self.backbone.layer_zero.ids.device
        generator, noise = np.random.default_rng(seed), torch.Generator(device).manual_seed(seed)
        self._views.begin_epoch(generator, device)
        for batch in islice(self.backbone.epoch(generator), num_batches):
            self._contrast(self._views, batch, noise)
        found: list[PolicyReading] = []
        for name, side in zip(SIDES, self._sides, strict=True):
            if side.agent is not None and (episodes := side.agent.take_episodes()):
                found += read_policy(self._config, name, episodes, side.agent.updates, noise)
        return tuple(found)

    def _contrast(self, views: ContrastViews, batch: PairBatch, noise: torch.Generator) -> torch.Tensor:
        """L_CL of users + L_CL of items."""
        layer_zero = self.backbone.layer_zero()  # (N, d)
        by_items = self._config.pools == "items"
        sides = [rows.to(layer_zero.device) for rows in batch_nodes(batch, self._num_users)]
        starts = (self._num_users if by_items else 0, self._num_users)
        pools = [side.draw_pool(noise) for side in self._sides]
        partners = [self._items_of_users(batch).to(layer_zero.device), sides[1]] if by_items else sides
        placed = [pool + start for pool, start in zip(pools, starts, strict=True)]
        read = [*sides, *placed, *partners[: int(by_items)]]
        first, second = views.read(layer_zero, torch.cat(sides), torch.cat(read))
        own = first.split([len(rows) for rows in sides])
        parts = second.split([len(rows) for rows in read])
        seen = self._seen(layer_zero, sides, partners, placed)
        losses: list[torch.Tensor] = []
        for number, (side, start) in enumerate(zip(self._sides, starts, strict=True)):
            given = Contrasted(
                nodes=sides[number] - number * self._num_users,
                partners=partners[number] - start,
                pool=pools[number],
                own=own[number],
                positives=parts[number],
                partner_vectors=parts[4] if by_items and number == 0 else parts[number],
                candidates=parts[2 + number],
                seen=seen[number],
            )
            losses.append(side(given, noise))
        return losses[0] + losses[1]

    def _seen(self, layer_zero: torch.Tensor, *rows: list[torch.Tensor]) -> list[Seen | None]:
        """Of both sides, layer-0 embeddings of nodes, partners and pools; nothing where views are seen."""
        if self._config.state_of == "views":
            return [None, None]
        table = layer_zero.detach()
        return [Seen(*(table[each] for each in of_side)) for of_side in zip(*rows, strict=True)]

    def _items_of_users(self, batch: PairBatch) -> torch.Tensor:
        """(m,) node rows: for every user of the batch, ascending, the item of the user's first pair in it."""
        first_pairs = np.unique(batch.users, return_index=True)[1]
        return torch.from_numpy(batch.positives[first_pairs] + self._num_users)

    def _learn(self, *, everything: bool) -> None:
        for side in self._sides:
            side.learn(everything=everything)


def backbone_config(config: Config) -> EmbeddingConfig:
    """The backbone's settings: those of every model as they are here, its own as ``backbone_settings`` say.

    Raises:
        ValueError: If the backbone has no such setting, or the value does not fit; all settings are named.
    """
    config_type, _ = _BACKBONES[config.backbone]
    shared = {name: getattr(config, name) for name in EmbeddingConfig.model_fields}
    known = config_type.model_fields.keys() - shared.keys()
    own: dict[str, str] = {}
    for part in filter(None, config.backbone_settings.split(",")):
        name, equals, value = part.partition("=")
        if not equals or name.strip() not in known:
            raise ValueError(
                f"backbone_settings has {part.strip()!r}; {config.backbone} takes NAME=VALUE of "
                f"{', '.join(sorted(known)) or 'no setting of its own'}"
            )
        if name.strip() in own:
            raise ValueError(f"backbone_settings names {name.strip()} twice")
        own[name.strip()] = value.strip()
    try:
        return config_type.model_validate(shared | own)
    except ValidationError as error:
        reasons = "; ".join(f"{e['loc'][0] if e['loc'] else 'settings'}: {e['msg']}" for e in error.errors())
        raise ValueError(f"backbone_settings of {config.backbone}: {reasons}") from error


def _sides(config: Config, data: TrainingData, seed: int) -> list[ContrastSide]:
    """The contrast of users, and of items."""
    generator = torch.Generator().manual_seed(seed + 1)  # the backbone draws from the seed itself
    users, items = (
        torch.from_numpy(degrees.astype(np.float32)) for degrees in (data.seen.degrees, data.item_degrees)
    )
    if config.pools == "same_side":
        return [ContrastSide(config, side, side, generator) for side in (users, items)]
    fixed = config.model_copy(update={"temperature_by": "fixed", "negatives_by": "in_batch"})
    return [ContrastSide(config, users, items, generator), ContrastSide(fixed, items, items, generator)]


class LghrecModel(VectorModel):
    """See `recommender.vector_model.VectorModel`.

    Args:
        config: Settings.
    """

    def __init__(self, config: Config) -> None:
        super().__init__("lghrec", Network, config)
        self._settings = config

    def read_policies(
        self, data: TrainingData, features: NodeFeatures | None, *, num_batches: int = 20, seed: int = 0
    ) -> tuple[PolicyReading, ...]:
        """What the policies learned, by group of nodes; nothing without a policy.

        Args:
            data: What the model was fitted on.
            features: Likewise.
            num_batches: Batches that are read.
            seed: Of what is drawn for it.

        Raises:
            StoreError: If the model was neither fitted nor loaded, or was fitted with features and none are
                given.
        """
        groups = self.arrays()
        has_features = bool(groups.keys() - {"weights"})
        projections = saved_projections(groups, self.name) if has_features else {}
        network = Network(self._settings, data, project(projections, features), 0)
        load_parameters(network, groups["weights"])
        return network.read_policies(num_batches, seed)


Model = LghrecModel
