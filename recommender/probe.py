"""A frozen model as a gate: trained once, scored with the vectors of every release that follows.

Weights, projection, training graph and validation events are the same on both sides, only the item vectors
differ: a drop is the vectors' doing. Rows of id maps never change, so a model may be measured on releases
after the one that it was fitted on; entities that came later are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from featurestore.errors import UnknownNameError, UsageError
from featurestore.features import FeatureRegistry
from featurestore.gates.draft import Draft
from featurestore.gates.probe import ProbeResult
from featurestore.ids import ExternalId
from featurestore.reader import Embeddings, Release
from featurestore.spec import AnyVectorSpec, VectorLike
from recommender.base import ReadsFeatures
from recommender.data import HeldOut, TrainingData
from recommender.evaluate import evaluate_ranking
from recommender.features import NodeFeatures, line_up
from recommender.known_rows import known_data, known_ids
from recommender.saved import Binding, SavedConfig, load_model

_METRIC: Final = "ndcg@10"
_CUTOFF: Final = 10
_MOST_USERS: Final = 5000
_SEED: Final = 20240229


@dataclass(frozen=True, slots=True)
class FrozenProbe:
    """A trained model, as `featurestore.gates.probe.Probe`.

    Attributes:
        folder: Where ``featurestore train`` saved it. The smaller the model, the sooner it answers.
    """

    folder: Path

    def __call__(self, draft: Draft) -> ProbeResult | None:
        """See `Probe`: validation NDCG@10 of at most 5,000 users, over all items that the model knows.

        Raises:
            StoreError: If there is no model, or the parent's id maps do not begin with those of its release.
            UsageError: If the model reads no item vectors, or no user has a validation event.
        """
        if draft.parent is None:
            return None
        saved = load_model(self.folder)
        before = Release(draft.store, draft.parent)
        names = _vectors_read(saved.info)
        old = _read_before(before, names)
        if old is None:
            return None
        feature = f"{old[0].spec.feature}.{old[0].spec.view}"
        new = _specs_now(draft, names)
        if new is None:
            return ProbeResult(feature, 1.0, f"the release would not hold {' and '.join(names)}")
        if all(draft.is_unchanged(spec) for spec in new):
            return ProbeResult(feature, 0.0, "the vectors are the parent's")
        binding = saved.info.binding
        learned = _learned_from(draft, binding)
        for spec in (*(each.spec for each in old), *new):
            if spec.encoder.digest != learned.encoder.digest:
                found, known = spec.encoder.model, learned.encoder.model
                return ProbeResult(feature, 1.0, f"the model learned from vectors of {known}, not of {found}")
        if not isinstance(saved.model, ReadsFeatures):
            raise _unfit(saved.info, "its scores do not read item vectors")
        data, item_ids = _data_of(before, binding), known_ids(before, binding, "item")
        held = _some_users(data.valid)
        values = [
            _metric(saved.model, data, held, sources, item_ids)
            for sources in (old, [draft.embeddings(spec) for spec in new])
        ]
        drop = 1 - values[1] / values[0] if values[0] else 0.0
        note = f"{_METRIC} {values[0]:.4f} before, {values[1]:.4f} now"
        return ProbeResult(feature, drop, note)


def _vectors_read(info: SavedConfig) -> list[str]:
    if info.feature is None:
        raise _unfit(info, "it was trained without item vectors")
    if info.config.get("fusion") in {"none", "init"}:
        raise _unfit(info, f"with fusion={info.config['fusion']} its scores do not read item vectors")
    if info.user_feature is not None:
        raise _unfit(info, "it reads vectors of users too")
    if info.control != "none":
        raise _unfit(info, f"it was trained on {info.control} vectors")
    return [info.feature, *([info.fallback] if info.fallback else [])]


def _read_before(release: Release, names: Sequence[str]) -> list[Embeddings] | None:
    try:
        return [release.embeddings(*_parts(name)) for name in names]
    except UnknownNameError:
        return None


def _specs_now(draft: Draft, names: Sequence[str]) -> list[AnyVectorSpec] | None:
    try:
        return [draft.vectors(*_parts(name)) for name in names]
    except UnknownNameError:
        return None


def _parts(name: str) -> tuple[str, str | None]:
    feature, _, view = name.partition(".")
    return feature, view or None


def _learned_from(draft: Draft, binding: Binding) -> AnyVectorSpec:
    spec = FeatureRegistry(draft.store).find("vector", binding.spec_digests[0]).spec
    assert isinstance(spec, VectorLike)
    return spec


def _data_of(release: Release, binding: Binding) -> TrainingData:
    data = known_data(release, binding)
    if not len(data.valid):
        raise UsageError(
            f"release {release.number} has no validation events to measure the probe on.",
            hint="Ingest with a split that holds some out, or take probe out of [gates].",
        )
    return data


def _some_users(held: HeldOut) -> HeldOut:
    users = np.unique(held.users)
    if len(users) > _MOST_USERS:
        users = np.random.default_rng(_SEED).choice(users, size=_MOST_USERS, replace=False)
    kept = np.isin(held.users, users)
    return HeldOut(held.users[kept], held.items[kept], held.seen, held.num_items)


def _metric(
    model: ReadsFeatures,
    data: TrainingData,
    held: HeldOut,
    sources: Sequence[Embeddings],
    item_ids: Sequence[ExternalId],
) -> float:
    rescored = model.with_features(data, NodeFeatures(items=line_up(sources, item_ids)))
    return evaluate_ranking(rescored.score, held, cutoffs=(_CUTOFF,)).means()[_METRIC]


def _unfit(info: SavedConfig, why: str) -> UsageError:
    return UsageError(
        f"this {info.model} cannot serve as a probe: {why}.",
        hint="Train one with: featurestore train lightgcn --features FEATURE --fusion replace",
    )
