"""The kNN graph of a release as readers get it: compressed rows, and an edge index."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore import columns as c
from featurestore.errors import MissingIdsError
from featurestore.id_maps import IdMap
from featurestore.ids import ExternalId, RowArray
from featurestore.spec import GraphSpec


@dataclass(frozen=True)
class NeighborGraph:
    """A directed kNN graph in compressed rows.

    Attributes:
        ids: Node → external id; ascending, and every node that an edge leaves or enters, unless `on_rows`.
        indptr: (n + 1,) int64: the edges of node i are ``indptr[i]:indptr[i + 1]``, nearest first.
        indices: (e,) int64 neighbour nodes.
        scores: (e,) float32 weights of the edges, by default cosine similarities.
        spec: What the graph is.
    """

    ids: list[ExternalId]
    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    spec: GraphSpec

    def __len__(self) -> int:
        return len(self.ids)

    def edge_index(self) -> npt.NDArray[np.int64]:
        """(2, e) int64: sources above, neighbours below. ``torch.from_numpy`` makes it PyG's."""
        sources = np.repeat(np.arange(len(self.ids), dtype=np.int64), np.diff(self.indptr))
        return np.stack([sources, self.indices])

    def neighbors(self, node_id: ExternalId) -> list[tuple[ExternalId, float]]:
        """Neighbours of a node with their scores, nearest first.

        Raises:
            MissingIdsError: If the graph has no such node.
        """
        node = self._nodes.get(node_id)
        if node is None:
            raise MissingIdsError(f"the graph {self.spec.feature}.{self.spec.view}", [node_id])
        edges = slice(self.indptr[node], self.indptr[node + 1])
        names = [self.ids[neighbor] for neighbor in self.indices[edges].tolist()]
        return list(zip(names, self.scores[edges].tolist(), strict=True))

    def on_rows(self, id_map: IdMap) -> "NeighborGraph":
        """The same graph with the rows of an id map as its nodes, entities without edges included.

        `indptr`, `indices` and `edge_index` then line up with embedding tables and with every later release.

        Args:
            id_map: `Release.id_map` of the graph's entity.

        Raises:
            MissingIdsError: Naming nodes that are not in the map.
        """
        rows = id_map.row_of(self.ids)  # (n,)
        degrees = np.zeros(len(id_map), np.int64)
        degrees[rows] = np.diff(self.indptr)
        order = np.argsort(rows)  # nodes by ascending row
        edges = _ranges(
            self.indptr[order], self.indptr[order + 1]
        )  # (e,) places of edges, by row of the source
        return NeighborGraph(
            list(id_map.ids), _offsets(degrees), rows[self.indices[edges]], self.scores[edges], self.spec
        )

    def to_polars(self) -> pl.DataFrame:
        """One row per edge, nearest first: ``src_id``, ``dst_id``, ``rank`` from 0, ``score``."""
        sources, neighbors = self.edge_index()
        names = pl.Series(self.ids, dtype=pl.String)
        ranks = np.arange(len(neighbors), dtype=np.int64) - self.indptr[sources]
        return pl.DataFrame(
            {
                c.SRC_ID: names.gather(sources),
                c.DST_ID: names.gather(neighbors),
                c.RANK: pl.Series(ranks, dtype=pl.Int32),
                c.SCORE: self.scores,
            }
        )

    @cached_property
    def stats(self) -> dict[str, float]:
        """Nodes, edges, out- and in-degrees, mean score and the share of edges that go both ways."""
        edges = self.edge_index()
        incoming = np.bincount(edges[1], minlength=len(self.ids))
        forward = edges[0] * len(self.ids) + edges[1]
        backward = edges[1] * len(self.ids) + edges[0]
        num_edges = max(len(self.indices), 1)
        return {
            "num_nodes": len(self.ids),
            "num_edges": len(self.indices),
            "mean_out_degree": len(self.indices) / max(len(self.ids), 1),
            "max_in_degree": int(incoming.max(initial=0)),
            "isolated_in": int(np.count_nonzero(incoming == 0)),
            "mean_score": float(self.scores.mean()) if len(self.scores) else 0.0,
            "mutual_share": float(np.isin(forward, backward).sum() / num_edges),
        }

    @cached_property
    def _nodes(self) -> dict[ExternalId, int]:
        return {node_id: node for node, node_id in enumerate(self.ids)}


def graph_of_edges(edges: pl.DataFrame, spec: GraphSpec) -> NeighborGraph:
    """Compressed rows of an edge table (`featurestore.schema.EDGES`), in any order."""
    ids = pl.concat([edges[c.SRC_ID], edges[c.DST_ID]]).unique().sort()
    nodes = pl.DataFrame({c.ID: ids}).with_row_index("node").with_columns(pl.col("node").cast(pl.Int64))
    placed = (
        edges.join(nodes.rename({c.ID: c.SRC_ID, "node": "src"}), on=c.SRC_ID)
        .join(nodes.rename({c.ID: c.DST_ID, "node": "dst"}), on=c.DST_ID)
        .sort("src", c.RANK)
    )
    degrees = np.bincount(placed["src"].to_numpy(), minlength=len(ids))
    scores = placed[c.SCORE].cast(pl.Float32).to_numpy()
    return NeighborGraph(ids.to_list(), _offsets(degrees), placed["dst"].to_numpy(), scores, spec)


def _offsets(degrees: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(degrees, dtype=np.int64)])


def _ranges(starts: RowArray, ends: RowArray) -> RowArray:
    """The numbers of all ranges ``start … end - 1``, one after another."""
    lengths = ends - starts
    shift = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return shift + np.arange(lengths.sum(), dtype=np.int64)
