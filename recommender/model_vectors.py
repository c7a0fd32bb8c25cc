"""A trained model's vectors of users and items as features of the store.

RecMind (arXiv 2509.06286, eq. 2 and 5) calls the layer mean of a trained LightGCN z^G_v, and aligns texts
with it. Those of a model that reads histories are the states of users' training histories, and the items'.
Rows name the training part as their event set: weights learned from it, validation chose but the epoch.
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
from featurestore.ids import RowArray, digest, digest_bytes
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.runcard import new_run_id
from featurestore.reader import Release
from featurestore.spec import EncoderSpec, Entity, ModelVectorSpec, table_name
from featurestore.store import Store
from recommender.data import FloatArray
from recommender.saved import SavedModel
from recommender.sequence.model import SequenceModel
from recommender.sequence_vectors import sequence_vectors


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
        UsageError: If the model has no such vectors, or ``name`` cannot name a feature, or names vectors of
            texts.
        LockHeldError: If another job stores the same vectors.
    """
    FeatureRegistry(store).require_origin("model", name, ("user", "item"))
    users, items = _stored_vectors(saved)
    events = training_events(release)
    written: dict[Entity, FeatureVersion] = {}
    sides: tuple[tuple[Entity, FloatArray], ...] = (("user", users), ("item", items))
    for entity, vectors in sides:
        ids = release.id_map(entity)
        known = ids.known_rows()
        spec = model_vector_spec(saved, name, entity, vectors.shape[1])
        with FeatureLock(store.objects, table_name(spec)) as lock:
            rows = vector_table(vectors[known], known, ids, events)
            lock.check()
            store.replace(table_name(spec), rows)
            written[entity] = FeatureRegistry(store).register(spec)
    return written


def vectors_of(saved: SavedModel) -> tuple[FloatArray, FloatArray]:
    """(U, d) and (I, d) vectors of a model.

    Raises:
        UsageError: If it has none.
    """
    if not isinstance(saved.model, HasVectors):
        raise UsageError(
            f"{saved.info.model} has no vectors of users and items: its scores are no inner products.",
            hint="Train a model that has, such as lightgcn.",
        )
    users, items = saved.model.vectors()
    return users.numpy(), items.numpy()


def _stored_vectors(saved: SavedModel) -> tuple[FloatArray, FloatArray]:
    """As `vectors_of`; of a model that reads histories, the states of these and its items."""
    if isinstance(saved.model, SequenceModel):
        return sequence_vectors(saved.model)
    return vectors_of(saved)


def vector_table(vectors: FloatArray, rows: RowArray, ids: IdMap, events: str | None) -> pa.Table:
    """Rows of a vector table; those of zeros are left out.

    Args:
        vectors: (n, d) float32.
        rows: (n,) int64, the row of each in the id map.
        ids: Of the entity.
        events: Event set that every row names.
    """
    kept = vectors.any(axis=1)
    matrix = np.ascontiguousarray(vectors[kept])
    columns: list[pa.Array] = [
        pa.array(ids.ids_of(rows[kept]), pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel(), pa.float32()), vectors.shape[1]),
        pa.array([digest_bytes(row.tobytes()) for row in matrix], pa.string()),
        pa.array([events] * len(matrix), pa.string()),
        pa.array([new_run_id()] * len(matrix), pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=schema.vectors(vectors.shape[1]))


def training_events(release: Release) -> str | None:
    """The event set of a release's training part."""
    split = release.manifest.split
    return None if split is None else split.event_set(c.TRAIN)


def model_vector_spec(saved: SavedModel, name: str, entity: Entity, embedding_dim: int) -> ModelVectorSpec:
    """Identity of a model's vectors of users or items.

    Raises:
        UsageError: If ``name`` cannot name a feature.
    """
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
