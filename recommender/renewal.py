"""Vectors of a trained model as events go on: users who did something, items that have just come.

Nothing is trained. The weights propagate over the training events of a later release, and vectors are written
for users whose training items are others than before, and for items that the model never saw but whose texts
it can read. All other vectors stay what they were.

Every ingest makes a new split, and rows name the split whose training part they were made of. They get the
name of the new one if all that the model ever learned from is still in its training part; else the model has
seen what is held out now, and is refused. Events that came after the model may be taken back: vectors that
were renewed with them may show them, neighbours' too, so that all are then written as if never renewed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from featurestore import columns as c
from featurestore.errors import EmbeddingSpaceError, LeakError, MissingVersionError, UsageError
from featurestore.features import FeatureRegistry
from featurestore.id_maps import IdMap
from featurestore.ids import ExternalId, RowArray
from featurestore.jobs.lock import FeatureLock
from featurestore.reader import Release
from featurestore.spec import Entity, VectorLike, table_name
from featurestore.store import Store
from recommender.base import ReadsFeatures
from recommender.data import FloatArray, TrainingData
from recommender.features import EntityFeatures, NodeFeatures, line_up
from recommender.known_rows import known_data, known_ids, known_training_keys
from recommender.model_vectors import HasVectors, model_vector_spec, training_events, vector_table, vectors_of
from recommender.saved import SavedModel

_ROWS_AT_A_TIME: Final = 4_000


@runtime_checkable
class PlacesNewItems(Protocol):
    """A model that scores items without events by their texts, such as RecMind."""

    def vectors_of_new_items(self, vectors: FloatArray) -> FloatArray:
        """(n, d) final vectors of (n, d_text) vectors of texts."""
        ...


@dataclass(frozen=True, slots=True)
class RenewalReport:
    """What was written.

    Attributes:
        tables: Entity → table.
        num_users: Users whose vectors were written.
        num_new_items: Items that came after the model and have a text; None if the model cannot place any.
    """

    tables: dict[Entity, str]
    num_users: int
    num_new_items: int | None


def renew_vectors(
    store: Store, saved: SavedModel, fitted: Release, now: Release, *, name: str, since: Release | None = None
) -> RenewalReport:
    """Bring the stored vectors of a model up to a later release.

    Cost: one propagation over the graph, and as many vectors as changed; all rows are written once for each
    new split, to name it.

    Args:
        store: Of both releases.
        saved: A model that reads vectors.
        fitted: The release that it was fitted on.
        now: A later release.
        name: Feature that `recommender.model_vectors.write_model_vectors` wrote.
        since: The release that the stored vectors were renewed on the last time; ``fitted`` if None. Users
            whose items changed since the split that stored rows name are written in any case.

    Raises:
        UsageError: If the model does not read vectors, or ``name`` is of vectors of texts by now.
        LeakError: If training events of ``fitted`` are none of ``now``.
        MissingVersionError: If its vectors were never stored under this name.
        EmbeddingSpaceError: If the release's texts were encoded otherwise than those the model learned from.
        StoreError: If a release's rows do not begin with those that the model knows.
        LockHeldError: If another job stores the same vectors.
    """
    FeatureRegistry(store).require_origin("model", name, ("user", "item"))
    users, items = vectors_of(saved)
    _require_same_spaces(store, saved, now)
    data, learned = (known_data(release, saved.info.binding) for release in (now, fitted))
    _require_still_training(learned, data, fitted, now)
    current = users.copy()
    moved = changed_users(learned, data)
    current[moved] = _renewed(saved, data, now)[moved]
    events = training_events(now)
    tables: dict[Entity, str] = {
        "user": _table(store, saved, name, "user", users.shape[1]),
        "item": _table(store, saved, name, "item", items.shape[1]),
    }
    asked = moved if since is None else changed_users(known_data(since, saved.info.binding), data)
    named = _named_pairs(store, tables["user"], saved, now)
    written = _rows_to_write(asked, named, data, now.id_map("user"))
    _merge(store, tables["user"], vector_table(current[written], written, now.id_map("user"), events))
    _delete(store, tables["user"], now.id_map("user").ids_of(written[~current[written].any(axis=1)]))
    placed = None
    if isinstance(saved.model, PlacesNewItems):
        new, vectors = _new_items(saved.model, saved, now)
        _merge(store, tables["item"], vector_table(vectors, new, now.id_map("item"), events))
        placed = len(new)
    for table in tables.values():  # last: a row that names the new split is as it should be under it
        _name_events(store, table, events)
    return RenewalReport(tables, len(written), placed)


def _named_pairs(store: Store, table: str, saved: SavedModel, now: Release) -> list[RowArray | None]:
    """Training pairs of every split but ``now``'s that stored rows name; see `known_training_keys`."""
    named = store.read(table, columns=[c.EVENT_SET])[c.EVENT_SET].unique().to_pylist()
    earlier = [name for name in named if name != training_events(now)]
    return [known_training_keys(store, name, now, saved.info.binding) for name in earlier]


def _rows_to_write(
    asked: RowArray, named: Sequence[RowArray | None], data: TrainingData, ids: IdMap
) -> RowArray:
    """(n,) int64 rows of users: ``asked``, those changed since stored rows were made, or all of them."""
    now, rows = _keys(data), [asked]
    for before in named:
        if before is None or not np.isin(before, now, assume_unique=True).all():
            known = ids.known_rows()
            return known[known < data.num_users]
        rows.append(_users_of(np.setxor1d(before, now, assume_unique=True), data))
    return np.unique(np.concatenate(rows))


def _name_events(store: Store, table: str, events: str | None) -> None:
    """Rows that name another split name this one."""
    marks = store.read(table, columns=[c.ID, c.EVENT_SET])
    ids = [
        i for i, e in zip(marks[c.ID].to_pylist(), marks[c.EVENT_SET].to_pylist(), strict=True) if e != events
    ]
    for start in range(0, len(ids), _ROWS_AT_A_TIME):
        rows = store.read(table, ids=ids[start : start + _ROWS_AT_A_TIME])
        place = rows.schema.get_field_index(c.EVENT_SET)
        names = pa.array([events] * rows.num_rows, pa.string())
        _merge(store, table, rows.set_column(place, rows.schema.field(place), names))


def _merge(store: Store, table: str, rows: pa.Table) -> None:
    with FeatureLock(store.objects, table) as lock:
        for start in range(0, rows.num_rows, _ROWS_AT_A_TIME):
            lock.check()
            store.upsert(table, rows.slice(start, _ROWS_AT_A_TIME), key=c.ID)


def _delete(store: Store, table: str, ids: Sequence[ExternalId]) -> None:
    if ids:
        with FeatureLock(store.objects, table) as lock:
            lock.check()
            store.delete(table, ids, key=c.ID)


def changed_users(before: TrainingData, now: TrainingData) -> RowArray:
    """(n,) int64 rows of users whose training items are others than before, ascending."""
    return _users_of(np.setxor1d(_keys(before), _keys(now), assume_unique=True), now)


def _users_of(keys: RowArray, data: TrainingData) -> RowArray:
    return np.unique(keys // data.num_items)


def _keys(data: TrainingData) -> RowArray:
    """(n,) int64, one for each training pair."""
    return data.train_users * data.num_items + data.train_items


def _require_still_training(earlier: TrainingData, data: TrainingData, before: Release, now: Release) -> None:
    lost = len(np.setdiff1d(_keys(earlier), _keys(data), assume_unique=True))
    if lost:
        raise LeakError(
            f"{lost:,} training events of release {before.number} are none of release {now.number}: they are "
            "held out now, or gone.",
            hint=f"Train the model again on release {now.number}.",
        )


def _renewed(saved: SavedModel, data: TrainingData, now: Release) -> FloatArray:
    """(U, d) vectors of all users that the model knows, over the graph as it is now."""
    info = saved.info
    reads = (info.feature or info.user_feature) is not None and info.control == "none"
    if not isinstance(saved.model, ReadsFeatures) or not reads:
        raise UsageError(
            f"this {info.model} was trained without vectors of texts; its own cannot be renewed.",
            hint="Train it with --features FEATURE, or train it again on the newest release.",
        )
    other = saved.model.with_features(data, _features(saved, now))
    assert isinstance(other, HasVectors)
    return other.vectors()[0].numpy()


def _features(saved: SavedModel, now: Release) -> NodeFeatures:
    info = saved.info
    items = _lined_up(now, (info.feature, info.fallback), known_ids(now, info.binding, "item"), "item")
    users = _lined_up(now, (info.user_feature,), known_ids(now, info.binding, "user"), "user")
    return NodeFeatures(items, users)


def _lined_up(
    now: Release, names: Sequence[str | None], ids: Sequence[ExternalId], entity: Entity
) -> EntityFeatures | None:
    sources = [now.embeddings(*_parts(name)) for name in names if name is not None]
    return line_up(sources, ids, entity) if sources else None


def _require_same_spaces(store: Store, saved: SavedModel, now: Release) -> None:
    """Refuse vectors of another encoder than the model learned from."""
    registry = FeatureRegistry(store)
    specs = [registry.find("vector", digest).spec for digest in saved.info.binding.spec_digests]
    learned = {spec.encoder.digest for spec in specs if isinstance(spec, VectorLike)}
    for name in (saved.info.feature, saved.info.fallback, saved.info.user_feature):
        if name is not None:
            encoder = now.embeddings(*_parts(name)).spec.encoder
            if encoder.digest not in learned:
                raise EmbeddingSpaceError(
                    f"release {now.number} holds vectors of {name} by {encoder.name} ({encoder.model}); this "
                    f"{saved.info.model} learned from another encoder's.",
                    hint="Train the model again on that release.",
                )


def _new_items(model: PlacesNewItems, saved: SavedModel, now: Release) -> tuple[RowArray, FloatArray]:
    """Rows of items that the model never saw, and their vectors where they have a text."""
    info, ids = saved.info, now.id_map("item")
    rows = ids.known_rows()
    rows = rows[rows >= info.binding.num_items]
    texts = _lined_up(now, (info.feature, info.fallback), ids.ids_of(rows), "item") if len(rows) else None
    if texts is None:
        return rows[:0], np.zeros((0, vectors_of(saved)[1].shape[1]), np.float32)
    return rows[texts.has_vector], model.vectors_of_new_items(texts.matrix[texts.has_vector])


def _parts(name: str) -> tuple[str, str | None]:
    feature, _, view = name.partition(".")
    return feature, view or None


def _table(store: Store, saved: SavedModel, name: str, entity: Entity, embedding_dim: int) -> str:
    spec = model_vector_spec(saved, name, entity, embedding_dim)
    table = table_name(spec)
    if store.latest(table) is None:
        raise MissingVersionError(
            f"the store holds no vectors of this {saved.info.model} under the name {name!r}.",
            hint=f"Write them first: featurestore vectors --model {saved.folder} --name {name}",
        )
    FeatureRegistry(store).register(spec)
    return table
