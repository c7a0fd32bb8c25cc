"""One release, open for reading: everything that it pins, by name."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import polars as pl

from featurestore import columns as c
from featurestore import id_maps
from featurestore.embeddings import Embeddings
from featurestore.errors import (
    LeakError,
    MissingIdsError,
    MissingVersionError,
    UnknownNameError,
    UsageError,
    missing_extra,
)
from featurestore.features import HOW_TO_GET_VECTORS, FeatureRegistry, choose_view
from featurestore.graphs.build import GraphQuality, read_quality
from featurestore.id_maps import IdMap
from featurestore.ids import ExternalId
from featurestore.neighbor_graph import NeighborGraph, graph_of_edges
from featurestore.pinned_vectors import open_vectors
from featurestore.point_in_time import pin_made_from, refuse_leaks, wanted_event_set
from featurestore.release import Manifest, TablePin
from featurestore.schema import TEXTS, completed
from featurestore.semantic_ids import SemanticIds
from featurestore.spec import CodesSpec, Entity, GraphSpec, Kind, RecommendationsSpec
from featurestore.store import Store

if TYPE_CHECKING:
    from featurestore.torch_dataset import VectorDataset

_TRAIN_ONLY = (c.TRAIN,)


class Release:
    """One release, open for reading."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self._store = store
        self.manifest = manifest

    @property
    def number(self) -> int:
        """The release's number."""
        return self.manifest.number

    def features(self, kind: Kind | None = None) -> list[TablePin]:
        """What the release pins, source tables included."""
        return [pin for pin in self.manifest.pins if kind in {None, pin.spec.kind}]

    def pin(self, kind: Kind, feature: str, view: str | None = None) -> TablePin:
        """What the release pins of one feature view; ``view`` as in `texts`.

        Raises:
            UnknownNameError: Listing the features, or the views, there are.
            UsageError: If ``view`` is None and the choice is open.
        """
        pins = self.features(kind)
        views = {pin.spec.view: pin for pin in pins if pin.spec.feature == feature}
        if not views:
            hint = HOW_TO_GET_VECTORS if kind == "vector" and not pins else ""
            if FeatureRegistry(self._store).holds(kind, feature):
                hint = f"The store has it, release {self.number} has not: `featurestore publish` releases it."
            raise UnknownNameError(f"{kind} feature", feature, {pin.spec.feature for pin in pins}, hint=hint)
        return views[choose_view(f"{kind} feature {feature!r}", view, list(views))]

    def items(self) -> pl.DataFrame:
        """Items as ingested: one row per item."""
        return self._read(self._source("items"))

    def users(self) -> pl.DataFrame:
        """Users as ingested: one row per user."""
        return self._read(self._source("users"))

    def interactions(self, *parts: str) -> pl.DataFrame:
        """Events of the named split parts, sorted by user and position.

        Args:
            parts: ``"train"``, ``"valid"``, ``"test"``: at least one, so that nobody reads test unawares.

        Raises:
            UsageError: If no part is named, or an unknown one (`UnknownNameError`).
            LeakError: If the release pins other events than its split was made of.
        """
        if not parts:
            raise UsageError(f"name the parts to read, such as interactions('train'): {', '.join(c.PARTS)}.")
        for part in parts:
            if part not in c.PARTS:
                raise UnknownNameError("split part", part, c.PARTS)
        pin, split = self._source("interactions"), self.manifest.split
        if split is not None and pin.version != split.interactions_version:
            raise LeakError(
                f"the events of release {self.number} are of another split than it names (version "
                f"{pin.version}, not {split.interactions_version}).",
                hint="What trains there may be held out here. Publish again, and read the new release.",
            )
        return self._read(pin).filter(pl.col(c.PART).is_in(parts))

    def id_map(self, entity: Entity) -> IdMap:
        """External id ↔ row, as of this release."""
        pin = self._source(f"{entity}_ids")
        return id_maps.load(self._store, entity, table=pin.table, version=pin.version)

    def texts(
        self,
        feature: str,
        view: str | None = None,
        *,
        ids: Sequence[ExternalId] | None = None,
        status: str | None = c.STATUS_OK,
        events: str | None = None,
        allow_parts: Collection[str] = _TRAIN_ONLY,
    ) -> pl.DataFrame:
        """Texts of a feature view: the columns of `featurestore.schema.TEXTS`.

        Args:
            feature: Such as ``item_cot``.
            view: The only one if None; else ``fused``, else ``text``, if there.
            ids: Exactly these rows, in this order (repeats allowed); all, by ascending id, if None.
            status: ``ok``, ``failed``, or None for both.
            events: The version made from exactly these events, such as ``train``, ``train+valid`` or
                ``log:2014-07-01`` (see `featurestore.point_in_time`); the usual one if None.
            allow_parts: Where ``events`` is None: split parts whose events the texts may have read.

        Raises:
            UnknownNameError: Listing the features, or the views, there are.
            UsageError: If ``view`` is None and the choice is open.
            MissingIdsError: Naming each of ``ids`` that has no text of that status.
            LeakError: If a text, or what it was made of, read events of another part or split.
            MissingVersionError: If no version was made from ``events``.
        """
        pin = self._readable_pin("text", feature, view, events, allow_parts)
        stored = self._store.read(pin.table, version=pin.version, ids=ids)
        rows = pl.DataFrame(completed(stored, TEXTS))
        chosen = rows if status is None else rows.filter(pl.col(c.STATUS) == status)
        if ids is None:
            return chosen.sort(c.ID)
        if chosen.height < rows.height:
            absent = rows.filter(pl.col(c.STATUS) != status)[c.ID].unique(maintain_order=True)
            raise MissingIdsError(f"the {status} texts of {pin.name}", absent.to_list())
        return chosen

    def embeddings(
        self,
        feature: str,
        view: str | None = None,
        *,
        events: str | None = None,
        allow_parts: Collection[str] = _TRAIN_ONLY,
    ) -> Embeddings:
        """Vectors of a feature view, mapped into memory: milliseconds, whatever their size.

        Args:
            feature: Such as ``item_cot``.
            view: As in `texts`.
            events: As in `texts`.
            allow_parts: As in `texts`.

        Raises:
            UnknownNameError, UsageError, LeakError, MissingVersionError: As `texts`.
            StoreError: If the snapshot is damaged or absent.
        """
        pin = self._readable_pin("vector", feature, view, events, allow_parts)
        return open_vectors(self._store.objects, pin)

    def dataset(
        self,
        feature: str,
        view: str | None = None,
        *,
        fallback: str | None = None,
        ids: Sequence[ExternalId] | None = None,
        events: str | None = None,
        allow_parts: Collection[str] = _TRAIN_ONLY,
    ) -> "VectorDataset":
        """Vectors as a torch ``Dataset`` of (row of the id map, vector) samples.

        Args:
            feature: Such as ``item_cot``.
            view: As in `texts`.
            fallback: Feature of the same entity and encoder, for entities that ``feature`` has no vector of.
            ids: Exactly these samples, in this order; all that have a vector, by ascending id, if None.
            events: As in `texts`.
            allow_parts: As in `texts`.

        Raises:
            SetupError: If torch is not installed.
            EmbeddingSpaceError: If the fallback was made by another encoder.
            MissingIdsError: Naming each of ``ids`` that has no vector.
            UnknownNameError, UsageError, LeakError, StoreError: As `embeddings`.
        """
        try:
            from featurestore.torch_dataset import VectorDataset
        except ModuleNotFoundError as error:
            raise missing_extra(error.name or "torch", "train") from error
        names = [(feature, view), *([(fallback, None)] if fallback else [])]
        sources = [self.embeddings(*name, events=events, allow_parts=allow_parts) for name in names]
        entity = sources[0].spec.entity
        if entity is None:
            raise UsageError(f"{sources[0]!r} describes neither items nor users, so its ids have no rows.")
        return VectorDataset(sources, self.id_map(entity), ids)

    def graph(
        self,
        feature: str,
        view: str | None = None,
        *,
        events: str | None = None,
        allow_parts: Collection[str] = _TRAIN_ONLY,
    ) -> NeighborGraph:
        """The kNN graph of a feature view.

        Args:
            feature: Such as ``item_cot``.
            view: As in `texts`; a user graph pooled from item vectors is the view ``fused-users``.
            events: As in `texts`.
            allow_parts: As in `texts`.

        Raises:
            UnknownNameError, UsageError, LeakError, MissingVersionError: As `texts`.
        """
        pin = self._readable_pin("graph", feature, view, events, allow_parts)
        if not isinstance(pin.spec, GraphSpec):
            raise MissingVersionError(f"release {self.number} has no graph of {pin.name}.")
        return graph_of_edges(self._read(pin), pin.spec)

    def graph_quality(self, feature: str, view: str | None = None) -> GraphQuality:
        """What was measured when a graph was built: recall against the oracle, and degree statistics.

        Args:
            feature: Such as ``item_cot``.
            view: As in `graph`.

        Raises:
            UnknownNameError, UsageError: As `texts`.
            MissingVersionError: If `featurestore.graphs.build` did not build it.
        """
        pin = self.pin("graph", feature, view)
        quality = read_quality(self._store, pin.table, pin.version)
        if quality is None:
            raise MissingVersionError(f"nothing was measured of graph {pin.name} of release {self.number}.")
        return quality

    def semantic_ids(
        self,
        feature: str,
        view: str | None = None,
        *,
        events: str | None = None,
        allow_parts: Collection[str] = _TRAIN_ONLY,
    ) -> SemanticIds:
        """Semantic ids of a feature view, see `featurestore.codes.build`; options and errors as `graph`."""
        pin = self._readable_pin("codes", feature, view, events, allow_parts)
        if not isinstance(pin.spec, CodesSpec):
            raise MissingVersionError(f"release {self.number} has no semantic ids of {pin.name}.")
        return SemanticIds(self._read(pin), pin.spec)

    def recommendations(self, model: str) -> pl.DataFrame:
        """Stored top-k lists of a model: user_id, item_id, rank, score, by user and rank.

        Raises:
            UnknownNameError: Listing the models whose lists the release holds.
        """
        pins = {p.spec.model: p for p in self.manifest.pins if isinstance(p.spec, RecommendationsSpec)}
        if model not in pins:
            raise UnknownNameError("recommendations of model", model, pins)
        return self._read(pins[model]).sort(c.USER_ID, c.RANK)

    def _read(self, pin: TablePin) -> pl.DataFrame:
        return pl.DataFrame(self._store.read(pin.table, version=pin.version))

    def _source(self, name: str) -> TablePin:
        for pin in self.manifest.pins:
            if pin.spec.kind == "source" and pin.spec.feature == name:
                return pin
        raise MissingVersionError(
            f"release {self.number} has no {name}.", hint="Run `featurestore ingest`, then publish again."
        )

    def _readable_pin(
        self, kind: Kind, feature: str, view: str | None, events: str | None, allowed: Collection[str]
    ) -> TablePin:
        """The version of a feature view that may be read; naming its events is allowing them."""
        if events is not None:
            wanted = wanted_event_set(events, self.manifest.split)
            return pin_made_from(self.manifest, kind, feature, view, wanted)
        pin = self.pin(kind, feature, view)
        refuse_leaks(self.manifest, pin, allowed, first_events=self._first_events)
        return pin

    def _first_events(self) -> dict[str, int]:
        """The earliest timestamp of each split part."""
        pin = self._source("interactions")
        table = self._store.read(pin.table, version=pin.version, columns=[c.PART, c.TIMESTAMP])
        first = pl.DataFrame(table).drop_nulls().group_by(c.PART).agg(pl.col(c.TIMESTAMP).min())
        return dict(first.iter_rows())
