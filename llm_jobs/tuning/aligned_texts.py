"""What alignment reads: texts of one side, and the vectors that the graph has of its nodes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore import columns as c
from featurestore.adapters import Adapter
from featurestore.errors import InputError, LeakError, UsageError
from featurestore.features import FeatureRegistry
from featurestore.gates.rules import foreign_event_sets
from featurestore.ids import ExternalId, digest, digest_bytes, digest_texts
from featurestore.point_in_time import event_sets_along
from featurestore.reader import Embeddings, Release
from featurestore.spec import AnySpec, Entity
from featurestore.splits import current_split
from featurestore.store import Store
from featurestore.table_facts import distinct_event_sets


@dataclass(frozen=True)
class SideTexts:
    """Current texts of items, or of users.

    Attributes:
        entity: Which of the two.
        spec: What the texts are.
        rows: ``id``, ``text`` and ``text_digest``, by ascending id.
        event_sets: All event sets that the texts read.
    """

    entity: Entity
    spec: AnySpec
    rows: pl.DataFrame
    event_sets: tuple[str, ...]

    @property
    def ids(self) -> list[ExternalId]:
        """Ids of the texts."""
        return self.rows[c.ID].to_list()

    @property
    def texts(self) -> list[str]:
        """The texts, in the order of `ids`."""
        return self.rows[c.TEXT].to_list()


@dataclass(frozen=True)
class AlignedSide:
    """Texts of one side whose nodes have a vector of the graph as well.

    Attributes:
        texts: All texts of the side.
        vectors: The graph's vectors of the side, z^G.
        rows: (n,) int64 rows of ``texts`` that have a z^G other than zero.
        graph: (n, d) float32 z^G of these.
        event_sets: All event sets that texts and vectors read.
    """

    texts: SideTexts
    vectors: Embeddings
    rows: npt.NDArray[np.int64]
    graph: npt.NDArray[np.float32]
    event_sets: tuple[str, ...]

    @property
    def identity(self) -> str:
        """Digest of all that is learned from."""
        ids, texts = self.texts.ids, self.texts.texts
        return digest(
            [
                self.texts.entity,
                digest_texts(ids[row] for row in self.rows),
                digest_texts(texts[row] for row in self.rows),
                digest_bytes(np.ascontiguousarray(self.graph, "<f4").tobytes()),
            ]
        )


def released_texts(release: Release, entity: Entity, name: str) -> SideTexts:
    """Texts of a release that read training events at most.

    Args:
        release: An opened release.
        entity: Whom they describe.
        name: Text feature, or one view of it: ``item_text``, ``user_cot.fused``.

    Raises:
        UnknownNameError: Listing the text features, or the views, there are.
        UsageError: If the feature describes the other entity, or its view is open.
        LeakError: If the texts read held-out events.
        InputError: If it holds no text.
    """
    feature, view = _split(name)
    pin = release.pin("text", feature, view)
    _require_entity("text", pin.spec.entity, entity, name)
    rows = _with_digests(release.texts(feature, view), name)
    return SideTexts(entity, pin.spec, rows, event_sets_along(release.manifest, pin))


def newest_texts(store: Store, entity: Entity, name: str) -> SideTexts:
    """The head of a text feature view, as it is now: what the next release will hold.

    Args:
        store: Holds the texts.
        entity: Whom they describe.
        name: As in `released_texts`.

    Raises:
        UnknownNameError, UsageError, InputError: As `released_texts`.
    """
    head = FeatureRegistry(store).pick_head("text", *_split(name))
    _require_entity("text", head.spec.entity, entity, name)
    stored = pl.DataFrame(store.read(head.table, columns=[c.ID, c.STATUS, c.TEXT, c.EVENT_SET]))
    rows = stored.filter(pl.col(c.STATUS) == c.STATUS_OK).sort(c.ID)
    return SideTexts(entity, head.spec, _with_digests(rows, name), distinct_event_sets(rows))


def read_aligned(release: Release, texts: SideTexts, name: str) -> AlignedSide:
    """The graph's vectors beside texts.

    Args:
        release: The release of the texts.
        texts: Of items or users.
        name: Vector feature, or one view of it: of ``lightgcn``, the view ``item`` or ``user`` is taken.

    Raises:
        UnknownNameError: Listing the vector features there are.
        UsageError: If the vectors describe the other entity, or their view is open.
        LeakError: If the vectors read held-out events.
    """
    feature, view = _split(name)
    views = {p.spec.view for p in release.features("vector") if p.spec.feature == feature}
    view = view or (texts.entity if texts.entity in views else None)
    vectors = release.embeddings(feature, view)
    _require_entity("vector", vectors.spec.entity, texts.entity, name)
    pin = release.pin("vector", feature, view)
    places = vectors.find(texts.ids)
    rows = np.flatnonzero(places >= 0)
    graph = np.asarray(vectors.matrix[places[rows]], np.float32)
    known = graph.any(axis=1)
    event_sets = {*texts.event_sets, *event_sets_along(release.manifest, pin)}
    return AlignedSide(texts, vectors, rows[known], graph[known], tuple(sorted(event_sets)))


def require_current_events(store: Store, adapter: Adapter) -> None:
    """Refuse an adapter whose vectors no release of the current split may hold.

    Args:
        store: Holds the split and what the adapter would encode.
        adapter: See `featurestore.adapters.load_adapter`.

    Raises:
        LeakError: If it learned from the events of another split than the store's.
    """
    split, events = current_split(store), adapter.origin.event_set
    if events is None or not foreign_event_sets([events], split):
        return
    now = split.checksum[:16] if split else "none"
    raise LeakError(
        f"the adapter {adapter.digest[:16]} learned from the events {events}, of release "
        f"{adapter.origin.release}; the store's split is {now}, which may hold out what it has seen.",
        hint="Make the graph's vectors again under the current split (`featurestore train`, `featurestore "
        "vectors`), publish, and tune a new adapter.",
    )


def _with_digests(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    if rows.is_empty():
        raise InputError(
            f"text feature {name!r} holds no text.",
            hint="Look at the reasons with `featurestore show`, then generate again.",
        )
    digests = [digest_bytes(text.encode()) for text in rows[c.TEXT].to_list()]
    return rows.select(c.ID, c.TEXT, pl.Series(c.TEXT_DIGEST, digests, pl.String))


def _split(name: str) -> tuple[str, str | None]:
    feature, _, view = name.partition(".")
    return feature, view or None


def _require_entity(kind: str, found: Entity | None, wanted: Entity, name: str) -> None:
    if found != wanted:
        raise UsageError(
            f"{kind} feature {name!r} describes {f'{found}s' if found else 'neither items nor users'}; "
            f"{wanted}s were expected.",
            hint="List the features of the store with: featurestore ls",
        )
