"""A trained model's vectors of users and items as features of the store.

RecMind (arXiv 2509.06286, eq. 2 and 5) calls the layer mean of a trained LightGCN z^G_v, and aligns texts with
it. Rows name the training part as their event set: weights learned from it, validation chose but the epoch.
"""

from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import torch
from pydantic import ValidationError

from featurestore import columns as c
from featurestore import schema
from featurestore.errors import UsageError
from featurestore.features import FeatureRegistry, FeatureVersion
from featurestore.id_maps import IdMap
from featurestore.ids import digest, digest_bytes
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.runcard import new_run_id
from featurestore.reader import Release
from featurestore.spec import EncoderSpec, Entity, ModelVectorSpec, table_name
from featurestore.store import Store
from recommender.data import FloatArray
from recommender.saved import SavedModel


@runtime_checkable
class HasVectors(Protocol):
    """A model whose scores are inner products."""

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) and (I, d) float32 vectors of users and items."""
        ...


def write_model_vectors(
    store: Store, saved: SavedModel, release: Release, *, name: str
) -> dict[Entity, FeatureVersion]:
    """Store a model's vectors as the feature ``name``, views ``user`` and ``item``, for the next release.

    An entity that the model has only zeros of gets no row: it is one that the model knows nothing of.

    Args:
        store: The release's store.
        saved: A model fitted on ``release``.
        release: An opened release.
        name: Feature name, such as ``lightgcn``.

    Returns:
        Entity → its feature version. The spec digests the model's settings, seed and weights.

    Raises:
        UsageError: If the model has no such vectors, or ``name`` cannot name a feature.
        LockHeldError: If another job stores the same vectors.
    """
    model = saved.model
    if not isinstance(model, HasVectors):
        raise UsageError(
            f"{saved.info.model} has no vectors of users and items: its scores are no inner products.",
            hint="Train a model that has, such as lightgcn.",
        )
    users, items = (vectors.numpy() for vectors in model.vectors())
    events = _training_events(release)
    return {
        "user": _write(store, saved, name, "user", _rows(users, release.id_map("user"), events)),
        "item": _write(store, saved, name, "item", _rows(items, release.id_map("item"), events)),
    }


def _training_events(release: Release) -> str | None:
    split = release.manifest.split
    return None if split is None else split.event_set(c.TRAIN)


def _rows(vectors: FloatArray, ids: IdMap, events: str | None) -> pa.Table:
    known = ids.known_rows()
    kept = known[vectors[known].any(axis=1)]
    matrix = np.ascontiguousarray(vectors[kept])
    columns: list[pa.Array] = [
        pa.array(ids.ids, pa.string()).take(pa.array(kept)),
        pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel(), pa.float32()), matrix.shape[1]),
        pa.array([digest_bytes(row.tobytes()) for row in matrix], pa.string()),
        pa.array([events] * len(kept), pa.string()),
        pa.array([new_run_id()] * len(kept), pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=schema.vectors(matrix.shape[1]))


def _write(store: Store, saved: SavedModel, name: str, entity: Entity, rows: pa.Table) -> FeatureVersion:
    spec = _spec(saved, name, entity, rows.schema.field(c.VECTOR).type.list_size)
    table = table_name(spec)
    with FeatureLock(store.objects, table) as lock:
        lock.check()
        store.replace(table, rows)
        return FeatureRegistry(store).register(spec)


def _spec(saved: SavedModel, name: str, entity: Entity, embedding_dim: int) -> ModelVectorSpec:
    model = digest(saved.info.model_dump(mode="json"))
    try:
        return ModelVectorSpec(
            feature=name,
            view=entity,
            entity=entity,
            config_digest=model,
            release=str(saved.info.binding.release),
            encoder=EncoderSpec(
                name=saved.info.model,
                model=f"recommender:{model}",
                pooling="none",
                normalized=False,
                embedding_dim=embedding_dim,
                max_tokens=1,
            ),
        )
    except ValidationError:
        raise UsageError(
            f"{name!r} cannot name a feature.",
            hint="Use letters, digits, - and _, at most 64, starting with a letter or digit.",
        ) from None
