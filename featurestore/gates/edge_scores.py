"""Whether a graph is of the vectors beside it: the weights of a sample of edges, computed anew."""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore import columns as c
from featurestore.embeddings import Embeddings
from featurestore.gates.draft import Draft
from featurestore.spec import AnyVectorSpec, GraphSpec, VectorLike

_SAMPLED_EDGES: Final = 10_000
_SEED: Final = 20240229
_ROUNDING: Final = 1e-4


def stale_edges(draft: Draft, spec: GraphSpec, edges: pl.DataFrame) -> tuple[pl.DataFrame, int] | None:
    """Edges of a sample whose weight is not the cosine of their ends, the farthest off first.

    Args:
        draft: The release to be.
        spec: The graph's spec.
        edges: Columns ``src_id``, ``dst_id`` and ``score``: all edges of the graph.

    Returns:
        The stale ones of the sample, and how many were sampled; None if weights are no similarities, or the
        draft holds no vectors to compare with.
    """
    vectors = _vectors(draft, spec)
    if spec.weights != "cosine" or vectors is None:
        return None
    sample = edges.sample(min(_SAMPLED_EDGES, edges.height), seed=_SEED)
    ids = pl.concat([sample[c.SRC_ID], sample[c.DST_ID]]).unique().sort()
    embeddings = draft.embeddings(vectors)
    unit = _own(embeddings, ids) if spec.pooling == "own" else _pooled(draft, embeddings, ids)
    ends = [ids.search_sorted(sample[name]).to_numpy() for name in (c.SRC_ID, c.DST_ID)]
    off = np.abs((unit[ends[0]] * unit[ends[1]]).sum(axis=1) - sample[c.SCORE].to_numpy())
    off[np.isnan(off)] = np.inf  # an end without a vector
    order = np.argsort(-off, kind="stable")[: int(np.count_nonzero(off > _ROUNDING))]
    return sample[order], sample.height


def _vectors(draft: Draft, spec: GraphSpec) -> AnyVectorSpec | None:
    for known, facts in draft.tables:
        if isinstance(known, VectorLike) and known.digest == spec.vector_digest:
            return known if facts.num_rows else None
    return None


def _own(embeddings: Embeddings, ids: pl.Series) -> npt.NDArray[np.float64]:
    """(n, d) unit vectors of ids; NaN where one has none."""
    rows = embeddings.find(ids.to_list())
    found = embeddings.matrix[rows].astype(np.float64)
    found[rows < 0] = np.nan
    return _unit(found)


def _pooled(draft: Draft, embeddings: Embeddings, users: pl.Series) -> npt.NDArray[np.float64]:
    """(n, d) unit means of the vectors of users' distinct training items; NaN where one has none."""
    means = np.full((len(users), embeddings.matrix.shape[1]), np.nan)
    events = draft.source("interactions")
    if events is None:
        return means
    pairs = (
        draft.rows(events, [c.USER_ID, c.ITEM_ID, c.PART])
        .filter((pl.col(c.PART) == c.TRAIN) & pl.col(c.USER_ID).is_in(users.implode()))
        .select(c.USER_ID, c.ITEM_ID)
        .unique()
        .sort(c.USER_ID, c.ITEM_ID)
    )
    rows = embeddings.find(pairs[c.ITEM_ID].to_list())
    pairs, rows = pairs.filter(pl.Series(rows >= 0)), rows[rows >= 0]
    runs = pairs[c.USER_ID].rle().struct.unnest()
    counts = runs["len"].to_numpy().astype(np.int64)
    if len(counts):
        sums = np.add.reduceat(embeddings.matrix[rows], np.cumsum(counts) - counts, axis=0, dtype=np.float64)
        means[users.search_sorted(runs["value"]).to_numpy()] = sums / counts[:, None]
    return _unit(means)


def _unit(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, np.nan)
