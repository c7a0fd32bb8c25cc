"""What differs between two releases: values. "Before" and "after" are the order in which they were named."""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from featurestore.ids import ExternalId
from featurestore.spec import Entity

Change: TypeAlias = Literal["same", "rows", "spec", "added", "removed"]
"""What happened to a table: nothing, other rows, another spec (and rows), it is new, it is gone."""


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """One of the two releases.

    Attributes:
        number: Its number.
        created_at: UTC, ISO 8601.
        aliases: That name it now.
        split: First 16 characters of its split's checksum; None if it has no split.
    """

    number: int
    created_at: str
    aliases: tuple[str, ...]
    split: str | None


@dataclass(frozen=True, slots=True)
class TableCounts:
    """Rows of one table in both releases; None where a release has no such table."""

    kind: str
    name: str
    rows_before: int | None
    rows_after: int | None
    failed_before: int | None
    failed_after: int | None
    change: Change


@dataclass(frozen=True, slots=True)
class GateDelta:
    """What one gate measured in both releases; None where it did not run."""

    gate: str
    feature: str
    stratum: str
    before: float | None
    after: float | None
    delta: float | None
    threshold: float
    passed: bool


@dataclass(frozen=True, slots=True)
class TextChange:
    """One text that was rewritten.

    Attributes:
        id: Whose text it is.
        before: As it was.
        after: As it is.
        similarity: Share of equal words in equal order, 0 to 1.
    """

    id: ExternalId
    before: str
    after: str
    similarity: float


@dataclass(frozen=True, slots=True)
class TextDiff:
    """Good texts of one feature view.

    Attributes:
        name: ``item_cot.fused``.
        entity: Whose ids these are: ``item``, ``user``, or None if that is unknown.
        num_equal: Entities with the same text in both.
        num_changed: Entities with another text.
        num_added: Entities that had no good text before.
        num_removed: Entities that have none any more.
        num_sampled: Changed texts that were compared by word: all, or a seeded sample of them.
        mean_similarity: Mean over these; None if there are none.
        examples: The least similar of these first.
        lengths: Characters of the sampled texts, before and after.
    """

    name: str
    entity: Entity | None
    num_equal: int
    num_changed: int = 0
    num_added: int = 0
    num_removed: int = 0
    num_sampled: int = 0
    mean_similarity: float | None = None
    examples: tuple[TextChange, ...] = ()
    lengths: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Move:
    """How far one vector moved: 1 - cosine, 0 to 2."""

    id: ExternalId
    distance: float


@dataclass(frozen=True, slots=True)
class VectorDiff:
    """Vectors of one feature view.

    Attributes:
        name: ``item_cot.fused``.
        entity: Whose ids these are: ``item``, ``user``, or None if that is unknown.
        num_equal: Entities whose vector is the same, bit by bit.
        num_moved: Entities with another vector.
        num_added: Entities that had none before.
        num_removed: Entities that have none any more.
        incomparable: Why no distance was measured: the vectors lie in different spaces. Empty if measured.
        median_distance: Of those that moved, 1 - cosine; None if none did.
        p99_distance: Their 99th percentile.
        moves: The most-moved entities, farthest first.
        distances: (num_moved,) of all that moved.
    """

    name: str
    entity: Entity | None
    num_equal: int
    num_moved: int = 0
    num_added: int = 0
    num_removed: int = 0
    incomparable: str = ""
    median_distance: float | None = None
    p99_distance: float | None = None
    moves: tuple[Move, ...] = ()
    distances: npt.NDArray[np.float64] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class NeighborChange:
    """Neighbours of one entity.

    Attributes:
        id: The entity.
        distance: How far its own vector moved; None if that is unknown.
        num_kept: Neighbours that it has in both.
        lost: Neighbours that it had only before, nearest first.
        gained: Neighbours that it has only now, nearest first.
    """

    id: ExternalId
    distance: float | None
    num_kept: int
    lost: tuple[ExternalId, ...]
    gained: tuple[ExternalId, ...]


@dataclass(frozen=True, slots=True)
class GraphDiff:
    """One kNN graph, over the nodes that both releases have.

    Attributes:
        name: ``item_text.text``.
        entity: Whose ids these are: ``item``, ``user``, or None if that is unknown.
        num_nodes: Nodes with edges in both.
        num_added: Nodes with edges only now.
        num_removed: Nodes with edges only before.
        kept_share: Share of these nodes' earlier edges that are still there; None if there were none.
        num_changed: Nodes that lost or gained a neighbour.
        examples: The most-moved entities; where vectors tell of none, those that lost most neighbours.
    """

    name: str
    entity: Entity | None
    num_nodes: int
    num_added: int = 0
    num_removed: int = 0
    kept_share: float | None = None
    num_changed: int = 0
    examples: tuple[NeighborChange, ...] = ()


@dataclass(frozen=True, slots=True)
class CodeMove:
    """One entity's semantic id before and after: codes, the collision digit last."""

    id: ExternalId
    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CodesDiff:
    """Semantic ids of one feature view.

    Attributes:
        name: ``item_semantic_id.text``.
        entity: Whose ids these are: ``item``, ``user``, or None if that is unknown.
        same_codebook: Whether both were coded by the same codebooks: only then should few of them move.
        num_equal: Entities with the same semantic id.
        num_moved: Entities with another one.
        num_added: Entities that had none before.
        num_removed: Entities that have none any more.
        moved_by_level: Moved entities by the first place that differs; the last is the collision digit. Empty
            if the two have different numbers of levels.
        examples: Moved entities, those that differ earliest first.
    """

    name: str
    entity: Entity | None
    same_codebook: bool
    num_equal: int
    num_moved: int = 0
    num_added: int = 0
    num_removed: int = 0
    moved_by_level: tuple[int, ...] = ()
    examples: tuple[CodeMove, ...] = ()


@dataclass(frozen=True, slots=True)
class ReleaseDiff:
    """All that differs between two releases. Features that only one of them has are among the counts alone.

    Attributes:
        before: The release that was named first.
        after: The other.
        counts: Every table, by kind and name.
        gates: Every gate of either, by feature and gate.
        texts: Text feature views of both.
        vectors: Vector feature views of both.
        graphs: Graphs of both.
        codes: Semantic ids of both.
        titles: Of the items that are shown.
    """

    before: ReleaseFacts
    after: ReleaseFacts
    counts: tuple[TableCounts, ...]
    gates: tuple[GateDelta, ...]
    texts: tuple[TextDiff, ...]
    vectors: tuple[VectorDiff, ...]
    graphs: tuple[GraphDiff, ...]
    codes: tuple[CodesDiff, ...]
    titles: dict[ExternalId, str]

    def title(self, entity: Entity | None, entity_id: ExternalId) -> str:
        """Title of an item; empty if there is none, and for all that are no items."""
        return self.titles.get(entity_id, "") if entity == "item" else ""

    def as_dict(self) -> dict[str, object]:
        """For JSON, without the samples that only plots need."""
        return {part.name: _plain(getattr(self, part.name)) for part in fields(self)}


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.compare}
    return value
