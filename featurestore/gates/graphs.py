"""Gates of kNN graphs: does it hang together, do a few hubs take all edges, how many edges changed."""

from functools import partial

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore import columns as c
from featurestore.gate_result import GateResult
from featurestore.gates.draft import Draft
from featurestore.gates.edge_scores import stale_edges
from featurestore.gates.policy import GatePolicy
from featurestore.gates.rules import judged
from featurestore.graphs.build import read_quality
from featurestore.graphs.components import component_of
from featurestore.graphs.degrees import hub_edge_share, is_hub
from featurestore.neighbor_graph import graph_of_edges
from featurestore.release import TablePin
from featurestore.spec import GraphSpec

_EDGE = [c.SRC_ID, c.DST_ID]
_BETWEEN_TWO = pl.col(c.SRC_ID) != pl.col(c.DST_ID)
"""A self loop connects nobody, and never churns."""


def graph_gates(draft: Draft, spec: GraphSpec, policy: GatePolicy) -> list[GateResult]:
    """The gates of one graph that has edges. Reads all edges, and the parent's, unless they are the same."""
    return [*_stale(draft, spec, policy), *_shape(draft, spec, policy), *_churn(draft, spec, policy)]


def _stale(draft: Draft, spec: GraphSpec, policy: GatePolicy) -> list[GateResult]:
    """Edges that are of other vectors, or of other events, than those that would be released beside them."""
    made_of = [known for known, _ in draft.tables if known.digest == spec.vector_digest]
    if spec.pooling != "own" and (events := draft.source("interactions")):
        made_of.append(events)
    limits = {("stale_edges", ""): policy.max_stale_edges}
    if all(draft.is_unchanged(each) for each in (spec, *made_of)):
        known = draft.carried(spec, limits)
        if known is not None or not draft.was_judged(spec, "stale_edges"):
            return known or []
    found = stale_edges(draft, spec, draft.rows(spec, [*_EDGE, c.SCORE]))
    if found is None or found[1] < policy.min_compared:
        return []
    stale, sampled = found
    rows = stale.select(pl.concat_str(_EDGE, separator=" > "))[c.SRC_ID].to_list
    share, note = stale.height / sampled, f"{sampled:,} edges"
    return [judged(spec, "stale_edges", share, policy.max_stale_edges, rows=rows, note=note)]


def _shape(draft: Draft, spec: GraphSpec, policy: GatePolicy) -> list[GateResult]:
    limits = {
        ("isolated_nodes", ""): policy.max_isolated_share,
        ("hub_edges", ""): policy.max_hub_edge_share,
        ("connected_share", ""): policy.min_connected_share,
    }
    if draft.is_unchanged(spec) and (known := draft.carried(spec, limits)) is not None:
        return known
    edges = draft.rows(spec, [*_EDGE, c.RANK, c.SCORE])
    num_nodes = _num_nodes(draft, spec, edges)
    graph = graph_of_edges(edges.filter(_BETWEEN_TWO), spec)
    in_degree = np.bincount(graph.indices, minlength=len(graph))
    component = component_of(len(graph), *graph.edge_index())
    largest = np.bincount(component, minlength=1).argmax()

    def named(nodes: npt.NDArray[np.bool_]) -> list[str]:
        """Ids of nodes, those of the most incoming edges first."""
        chosen = np.flatnonzero(nodes)
        return [graph.ids[node] for node in chosen[np.argsort(-in_degree[chosen], kind="stable")]]

    isolated = 1 - len(graph) / num_nodes
    connected = float((component == largest).sum() / num_nodes)
    return [
        judged(spec, "isolated_nodes", isolated, policy.max_isolated_share),
        judged(
            spec,
            "hub_edges",
            hub_edge_share(in_degree),
            policy.max_hub_edge_share,
            rows=partial(named, is_hub(in_degree)),
        ),
        judged(
            spec,
            "connected_share",
            connected,
            policy.min_connected_share,
            rows=partial(named, component != largest),
        ),
    ]


def _num_nodes(draft: Draft, spec: GraphSpec, edges: pl.DataFrame) -> int:
    """Nodes that were placed, those without an edge included where the builder counted them."""
    facts = draft.facts(spec)
    quality = read_quality(draft.store, facts.table, facts.version)
    named = pl.concat([edges[c.SRC_ID], edges[c.DST_ID]]).n_unique()
    return max(quality.degrees.num_nodes if quality else 0, named)


def _churn(draft: Draft, spec: GraphSpec, policy: GatePolicy) -> list[GateResult]:
    """Share of the parent's edges that are gone, of the nodes that both graphs have."""
    pin = draft.before(spec)
    if pin is None:
        return []
    if draft.is_unchanged(spec):
        return [judged(spec, "knn_churn", 0.0, policy.max_knn_churn)]
    kept = _kept_edges(draft, spec, pin)
    if kept.height < policy.min_compared:
        return []
    churn = 1 - int(kept["kept"].sum()) / int(kept["before"].sum())
    worst = kept.sort(pl.col("kept") / pl.col("before"), c.SRC_ID)[c.SRC_ID]
    note = f"{kept.height:,} nodes"
    return [judged(spec, "knn_churn", churn, policy.max_knn_churn, rows=worst.to_list, note=note)]


def _kept_edges(draft: Draft, spec: GraphSpec, pin: TablePin) -> pl.DataFrame:
    """Nodes of both graphs: columns ``src_id``, ``before`` (edges in the parent) and ``kept`` (of these)."""
    before, now = draft.rows_before(pin, _EDGE).filter(_BETWEEN_TWO), draft.rows(spec, _EDGE)

    def counted(edges: pl.DataFrame, name: str) -> pl.DataFrame:
        return edges.group_by(c.SRC_ID).agg(pl.len().cast(pl.Int64).alias(name))

    both = counted(before, "before").join(now.select(c.SRC_ID).unique(), on=c.SRC_ID, how="semi")
    stayed = counted(before.join(now, on=_EDGE, how="semi"), "kept")
    return both.join(stayed, on=c.SRC_ID, how="left").with_columns(pl.col("kept").fill_null(0))
