"""A kNN graph from a vector feature: built, measured against the oracle, stored.

Nodes are the entities of the vectors, or users as the mean of the vectors of the items that they trained on.
"""

import json
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from featurestore.errors import InputError, LockHeldError, UsageError
from featurestore.features import FeatureRegistry, FeatureVersion
from featurestore.graph import GraphBuilder, NeighborLists
from featurestore.graphs.blocked import BlockedGraphBuilder
from featurestore.graphs.candidate_files import read_candidates, write_candidates
from featurestore.graphs.degrees import DegreeStats, degree_stats
from featurestore.graphs.edges import EdgeList, GraphShape, linked, weighted
from featurestore.graphs.exact import exact_candidates
from featurestore.graphs.nodes import Nodes, own_nodes, users_by_mean_of_items
from featurestore.graphs.ranking import checked_vectors
from featurestore.graphs.updating import GraphWork, KnownLists
from featurestore.ids import canonical_json
from featurestore.jobs.lock import FeatureLock
from featurestore.progress import Progress, no_progress
from featurestore.schema import EDGES
from featurestore.spec import Frozen, GraphSpec, table_name
from featurestore.splits import current_split
from featurestore.store import Store, TableVersion

EntityUsers: TypeAlias = Literal["own", "mean_of_train_items"]

_PLAIN = GraphShape()
_SAMPLE_ROWS = 256
_SAMPLE_SEED = 20240229
_STEPS = 4


class GraphQuality(Frozen):
    """What was measured of a stored graph; beside it as ``graphs/<table>/<version>.json``."""

    builder: str
    recall: float
    """Share of the oracle's edges that the graph has, over the sampled nodes; 1 is exact."""
    sample_rows: int
    num_without_vector: int
    """Entities that are no node: nothing to place them by."""
    degrees: DegreeStats


@dataclass(frozen=True, slots=True)
class GraphReport:
    """The outcome of `build_graph`.

    Attributes:
        spec: The graph's spec, now the head of its feature view.
        table: Where the edges are.
        changed: False if the stored edges were equal already and nothing was written.
        quality: Recall and degrees.
        work: What finding the neighbours took; None if the builder does not count it.
    """

    spec: GraphSpec
    table: TableVersion
    changed: bool
    quality: GraphQuality
    work: GraphWork | None


def build_graph(
    store: Store,
    *,
    feature: str,
    view: str,
    entity_users: EntityUsers,
    num_neighbors: int,
    builder: GraphBuilder,
    shape: GraphShape = _PLAIN,
    progress: Progress = no_progress,
) -> GraphReport:
    """Build the kNN graph of a vector feature and make it the head of its view.

    The blocked builder keeps candidates beside the edges and brings them up to date the next time, whatever
    the shape: nodes that are new, gone or moved cost one product each (`featurestore.graphs.updating`).

    Args:
        store: Holds the vectors; with ``mean_of_train_items`` also the interactions and their split.
        feature: Vector feature.
        view: View of it. The graph's view is the same, with ``-users`` appended for pooled users.
        entity_users: ``own``: the vectors' own entities. ``mean_of_train_items``: users, each the mean of
            the vectors of the distinct items among their training events; held-out events are never read.
        num_neighbors: k ≥ 1.
        builder: Finds the neighbours.
        shape: How they become edges.
        progress: Told of steps.

    Raises:
        UnknownNameError: If the store has no such vectors.
        UsageError: If users are to be pooled from vectors that are not of items.
        InputError: If there are fewer than two nodes, or vectors hold NaN or zero rows.
        LockHeldError: If another job makes the same graph, or wrote the vectors just now.
    """
    progress(0, _STEPS, "reading vectors")
    vectors = FeatureRegistry(store).head("vector", feature, view)
    read = _state(store, vectors, entity_users)
    nodes = graph_nodes(store, vectors, entity_users)
    pooled = entity_users == "mean_of_train_items"
    progress(1, _STEPS, f"{len(nodes.ids):,} nodes")
    spec = GraphSpec(
        feature=feature,
        view=f"{view}-users" if pooled else view,
        entity="user" if pooled else vectors.spec.entity,
        vector_digest=vectors.spec.digest,
        pooling=entity_users,
        num_neighbors=num_neighbors,
        event_set=nodes.event_set,
        search=builder.search,
        **shape.model_dump(),
    )
    with FeatureLock(store.objects, table_name(spec)) as lock:
        # Who forgets users holds the lock meanwhile: what was read before may name them.
        if _state(store, vectors, entity_users) != read:
            raise LockHeldError(
                f"the vectors of {feature}.{view}, or the events, were written while they were being read.",
                hint="Run the command again.",
            )
        return _build(store, spec, nodes, builder, lock=lock, progress=progress)


def graph_nodes(store: Store, vectors: FeatureVersion, entity_users: EntityUsers) -> Nodes:
    """The nodes of a graph over some vectors.

    Raises:
        UsageError: If users are to be pooled from vectors that are not of items.
        InputError: If there are fewer than two.
    """
    name = f"{vectors.spec.feature}.{vectors.spec.view}"
    if entity_users == "own":
        nodes = own_nodes(store, vectors.table)
    elif vectors.spec.entity == "item":
        nodes = users_by_mean_of_items(store, vectors.table)
    else:
        raise UsageError(
            f"users are pooled from item vectors, but {name} holds {vectors.spec.entity} vectors.",
            hint="Use own vectors for it (--users own), or name a feature of items.",
        )
    if len(nodes.ids) < 2:
        raise InputError(
            f"a graph needs two nodes at least, {name} gives {len(nodes.ids)}.",
            hint="Embed more rows (`featurestore embed`), or pick a view that covers more of them.",
        )
    return nodes


def read_quality(store: Store, table: str, version: int) -> GraphQuality | None:
    """What was measured of a version of a graph table, or None of one that we did not build."""
    path = _quality_path(table, version)
    if path not in store.objects.list(path):
        return None
    return GraphQuality.model_validate(json.loads(store.objects.read(path)))


def edge_table(ids: npt.NDArray[np.object_], edges: EdgeList) -> pa.Table:
    """Edges as rows of `schema.EDGES`, sorted by source and rank.

    Args:
        ids: (n,) external ids of the nodes.
        edges: Edges of the n nodes.
    """
    names = pa.array(ids, pa.string())
    sources, targets = names.take(pa.array(edges.sources)), names.take(pa.array(edges.targets))
    return pa.Table.from_arrays(
        [sources, targets, pa.array(edges.ranks), pa.array(edges.scores)], schema=EDGES
    )


def _state(store: Store, vectors: FeatureVersion, entity_users: EntityUsers) -> tuple[object, ...]:
    """What changes whenever the nodes may."""
    split = current_split(store) if entity_users == "mean_of_train_items" else None
    return store.latest(vectors.table), split


def _build(
    store: Store,
    spec: GraphSpec,
    nodes: Nodes,
    builder: GraphBuilder,
    *,
    lock: FeatureLock,
    progress: Progress,
) -> GraphReport:
    shape = GraphShape.of(spec)
    lists, found = _neighbors(store, spec, nodes, builder, progress)
    progress(2, _STEPS, "measuring")
    edges = linked(lists, shape)
    quality = _measure(nodes, lists, edges, builder.name)
    progress(3, _STEPS, "storing")
    rows = edge_table(nodes.ids, weighted(edges, shape))
    table, changed = _store_edges(store, spec, rows, quality, lock)
    if found is not None:
        lock.check()
        write_candidates(store, spec, table.version, found.known)
    progress(_STEPS, _STEPS)
    return GraphReport(spec, table, changed, quality, found.work if found else None)


@dataclass(frozen=True, slots=True)
class _Found:
    known: KnownLists
    work: GraphWork


def _neighbors(
    store: Store, spec: GraphSpec, nodes: Nodes, builder: GraphBuilder, progress: Progress
) -> tuple[NeighborLists, _Found | None]:
    """The neighbours, and what to keep for the next time if the builder can bring them up to date."""
    if not isinstance(builder, BlockedGraphBuilder):
        return builder.build(nodes.vectors, spec.num_neighbors), None

    def on_done(done: int, total: int) -> None:
        progress(1, _STEPS, f"searched {done:,} of {total:,}")

    known = read_candidates(store, spec)
    lists, work = builder.update(nodes.ids, nodes.vectors, spec.num_neighbors, known=known, on_done=on_done)
    return lists.candidates.lists(spec.num_neighbors), _Found(lists, work)


def _measure(nodes: Nodes, lists: NeighborLists, edges: EdgeList, builder_name: str) -> GraphQuality:
    rng = np.random.default_rng(_SAMPLE_SEED)
    count = min(_SAMPLE_ROWS, len(nodes.ids))
    sample = np.sort(rng.choice(len(nodes.ids), size=count, replace=False))
    width = lists.neighbors.shape[1]
    oracle = exact_candidates(checked_vectors(nodes.vectors), sample, width).lists(width).neighbors
    pairs = zip(oracle, lists.neighbors[sample], strict=True)
    found = np.stack([np.isin(true, listed) for true, listed in pairs]) & (oracle >= 0)
    return GraphQuality(
        builder=builder_name,
        recall=float(found.sum() / max((oracle >= 0).sum(), 1)),
        sample_rows=count,
        num_without_vector=nodes.num_without_vector,
        degrees=degree_stats(edges),
    )


def _store_edges(
    store: Store, spec: GraphSpec, edges: pa.Table, quality: GraphQuality, lock: FeatureLock
) -> tuple[TableVersion, bool]:
    """Write the edges unless the newest version holds the same; then what was measured, then the head."""
    name = table_name(spec)
    version = store.latest(name)
    changed = version is None or not store.read(name, version=version.version).equals(edges)
    lock.check()
    if version is None or changed:
        version = store.replace(name, edges)
    quality_json = canonical_json(quality.model_dump(mode="json")).encode()
    store.objects.put_new(_quality_path(name, version.version), quality_json)
    FeatureRegistry(store).register(spec)
    return version, changed


def _quality_path(table: str, version: int) -> str:
    return f"graphs/{table}/{version:06d}.json"
