"""Graphs of two releases: neighbours gained and lost."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import polars as pl

from featurestore import columns as c
from featurestore.diff.result import GraphDiff, NeighborChange
from featurestore.ids import ExternalId
from featurestore.release import TablePin
from featurestore.store import Store

_EDGE: Final = [c.SRC_ID, c.DST_ID]
_NUM_CHANGES: Final = "num_changes"


def diff_graphs(
    store: Store, before: TablePin, after: TablePin, *, moved: Mapping[ExternalId, float], limit: int
) -> GraphDiff:
    """Compare two versions of one kNN graph. Self loops are no neighbours: neither kept, lost nor gained.

    Args:
        store: Holds both.
        before: The earlier pin.
        after: The later one.
        moved: The most-moved entities → how far their vectors moved, farthest first.
        limit: Entities to show neighbours of.
    """
    old, new = _edges(store, before), _edges(store, after)
    old_nodes, new_nodes = (set(edges[c.SRC_ID].unique()) for edges in (old, new))
    nodes = old_nodes & new_nodes
    old, new = (edges.filter(pl.col(c.SRC_ID) != pl.col(c.DST_ID)) for edges in (old, new))
    common = pl.col(c.SRC_ID).is_in(nodes)
    lost = old.filter(common).join(new, on=_EDGE, how="anti")
    gained = new.filter(common).join(old, on=_EDGE, how="anti")
    num_old = old.filter(common).height
    changes = _num_changes(lost, gained)
    examples = _most_moved(moved, nodes, changes, limit)
    return GraphDiff(
        name=after.name,
        entity=after.spec.entity,
        num_nodes=len(nodes),
        num_added=len(new_nodes - nodes),
        num_removed=len(old_nodes - nodes),
        kept_share=1 - lost.height / num_old if num_old else None,
        num_changed=changes.height,
        examples=tuple(_change(node, moved.get(node), old, lost, gained) for node in examples),
    )


def _edges(store: Store, pin: TablePin) -> pl.DataFrame:
    return pl.DataFrame(store.read(pin.table, version=pin.version, columns=[*_EDGE, c.RANK]))


def _num_changes(lost: pl.DataFrame, gained: pl.DataFrame) -> pl.DataFrame:
    """Nodes that lost or gained a neighbour, those with most changes first."""
    return (
        pl.concat([lost, gained])
        .group_by(c.SRC_ID)
        .agg(pl.len().alias(_NUM_CHANGES))
        .sort(_NUM_CHANGES, c.SRC_ID, descending=[True, False])
    )


def _most_moved(
    moved: Mapping[ExternalId, float], nodes: Collection[ExternalId], changes: pl.DataFrame, limit: int
) -> Sequence[ExternalId]:
    if not moved:
        return changes[c.SRC_ID].head(limit).to_list()
    return [node for node in moved if node in nodes][:limit]


def _change(
    node: ExternalId, distance: float | None, old: pl.DataFrame, lost: pl.DataFrame, gained: pl.DataFrame
) -> NeighborChange:
    names = _neighbors(lost, node)
    return NeighborChange(
        id=node,
        distance=distance,
        num_kept=old.filter(pl.col(c.SRC_ID) == node).height - len(names),
        lost=names,
        gained=_neighbors(gained, node),
    )


def _neighbors(edges: pl.DataFrame, node: ExternalId) -> tuple[ExternalId, ...]:
    return tuple(edges.filter(pl.col(c.SRC_ID) == node).sort(c.RANK)[c.DST_ID])
