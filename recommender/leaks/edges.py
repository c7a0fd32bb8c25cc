"""Edges: were the training graph and the user graphs built from training events alone?

The matrix that graph models propagate over, made here as they make it (`normalized_adjacency` of what
`load_training_data` gives), is compared with the release's training events: its entries and their values.
Edges of a user graph that pools item vectors are not believed as stored: they are scored again with the mean
of each user's training items. Where those scores differ and those of all of the user's items agree, the graph
has read held-out events.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from featurestore import columns as c
from featurestore.errors import FeatureStoreError
from featurestore.reader import Embeddings, NeighborGraph, Release
from featurestore.release import TablePin
from featurestore.spec import GraphSpec
from recommender.data import FloatArray, IntArray, load_training_data
from recommender.graph.propagation import Adjacency, normalized_adjacency
from recommender.leaks.finding import Finding

CHECK: Final = "edges"
_TRAINING_GRAPH: Final = "training graph"
_PAIR: Final = (c.USER_ID, c.ITEM_ID)
_SAMPLE_EDGES: Final = 512
_SEED: Final = 20240229
_TOLERANCE: Final = 1e-4
_ENOUGH: Final = 0.99
_READ: Final = ((c.TRAIN,), (c.TRAIN, c.VALID), c.PARTS)


def check_edges(release: Release) -> list[Finding]:
    """The recommender's training graph, then every user graph of the release that pools item vectors."""
    graphs = [
        _check_user_graph(release, pin, pin.spec)
        for pin in release.features("graph")
        if isinstance(pin.spec, GraphSpec) and pin.spec.pooling == "mean_of_train_items"
    ]
    return [_check_training_graph(release), *graphs]


def _check_training_graph(release: Release) -> Finding:
    data = load_training_data(release)
    adjacency = normalized_adjacency(
        data.train_users, data.train_items, num_users=data.num_users, num_items=data.num_items
    )
    return judge_training_graph(release, adjacency)


def judge_training_graph(release: Release, adjacency: Adjacency) -> Finding:
    """Compare every entry of a graph of users and items, both directions, with the training events.

    Args:
        release: An opened release with interactions.
        adjacency: (U + I, U + I), users first, rows as the release's id maps have them.
    """
    users, items = release.id_map("user"), release.id_map("item")
    sources = np.repeat(np.arange(adjacency.num_nodes), np.diff(adjacency.indptr.numpy()))  # (nnz,)
    targets = adjacency.columns.numpy().astype(np.int64)
    between = (sources < len(users)) != (targets < len(users))
    ends = np.sort(np.stack([sources, targets])[:, between], axis=0)  # the user first
    pairs = {c.USER_ID: users.ids_of(ends[0]), c.ITEM_ID: items.ids_of(ends[1] - len(users))}
    train = release.interactions(c.TRAIN).select(_PAIR).unique()
    known = pl.DataFrame(pairs, schema_overrides=train.schema).join(train, on=_PAIR, how="semi").height
    foreign = len(sources) - known
    num_different = len(np.unique(sources * adjacency.num_nodes + targets))
    figures: dict[str, float | int | str] = {
        "num_entries": len(sources),
        "not_in_train": foreign,
        "missing": 2 * train.height - (num_different - foreign),
        "repeated": len(sources) - num_different,
    }
    if foreign:
        detail = f"{foreign:,} of {len(sources):,} entries are not among the training events."
        return Finding(CHECK, _TRAINING_GRAPH, "leak", figures, detail)
    if any(figures[name] for name in ("missing", "repeated")):
        detail = (
            f"{len(sources):,} entries for {train.height:,} training pairs: {figures['missing']:,} are "
            f"missing, {figures['repeated']:,} repeated."
        )
        return Finding(CHECK, _TRAINING_GRAPH, "note", figures, detail)
    if not np.allclose(adjacency.values.numpy(), _normalised(sources, targets), atol=_TOLERANCE):
        detail = "the entries are training pairs, their values are not those of training degrees."
        return Finding(CHECK, _TRAINING_GRAPH, "leak", figures, detail)
    detail = f"{len(sources):,} entries, two for each training pair, weighted by training degrees."
    return Finding(CHECK, _TRAINING_GRAPH, "ok", figures, detail)


def _normalised(sources: IntArray, targets: IntArray) -> FloatArray:
    """(nnz,) float32 1 / √(d_u d_i), degrees counted from the entries themselves."""
    degrees = np.bincount(sources)
    return (1 / np.sqrt(degrees[sources] * degrees[targets])).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Sample:
    """Edges of a graph: external ids of their ends, and (e,) float32 scores."""

    sources: list[str]
    targets: list[str]
    scores: FloatArray


def _check_user_graph(release: Release, pin: TablePin, spec: GraphSpec) -> Finding:
    subject = f"graph {pin.name}"
    made_of = [each for each in release.features("vector") if each.spec.digest == spec.vector_digest]
    if not made_of or spec.weights != "cosine":
        why = "its vectors are not in the release" if not made_of else "its edges carry no scores"
        return Finding(CHECK, subject, "unknown", {}, f"not known: {why}, so they cannot be scored again.")
    try:
        graph = release.graph(spec.feature, spec.view, allow_parts=c.PARTS)
        vectors = release.embeddings(made_of[0].spec.feature, made_of[0].spec.view, allow_parts=c.PARTS)
    except FeatureStoreError as error:
        return Finding(CHECK, subject, "unknown", {}, f"not known: {error.message}")
    sample = _draw(graph)
    explained = {
        "+".join(parts): _share_explained(release.interactions(*parts), vectors, sample) for parts in _READ
    }
    return _judge(subject, len(sample.scores), explained)


def _draw(graph: NeighborGraph) -> _Sample:
    sources, targets = graph.edge_index()
    chosen = np.arange(len(sources))
    if len(chosen) > _SAMPLE_EDGES:
        chosen = np.sort(np.random.default_rng(_SEED).choice(len(chosen), _SAMPLE_EDGES, replace=False))
    names = [[graph.ids[node] for node in ends[chosen].tolist()] for ends in (sources, targets)]
    return _Sample(names[0], names[1], graph.scores[chosen])


def _share_explained(events: pl.DataFrame, vectors: Embeddings, sample: _Sample) -> float:
    """Share of edges whose score is the cosine of their ends' means over the distinct items of ``events``."""
    users = sorted({*sample.sources, *sample.targets})
    places = pl.DataFrame({c.USER_ID: users}).with_row_index("place")
    pairs = events.select(_PAIR).unique().join(places, on=c.USER_ID)
    rows = vectors.find(pairs[c.ITEM_ID].to_list())  # (p,)
    placed = rows >= 0
    sums = np.zeros((len(users), vectors.matrix.shape[1]))  # cosines of sums are those of means
    np.add.at(sums, pairs["place"].to_numpy()[placed], vectors.matrix[rows[placed]])
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    ends = [np.searchsorted(np.array(users), names) for names in (sample.sources, sample.targets)]
    cosines = np.einsum("ed,ed->e", sums[ends[0]], sums[ends[1]])
    return float((np.abs(cosines - sample.scores) <= _TOLERANCE).mean()) if len(cosines) else 1.0


def _judge(subject: str, num_edges: int, explained: dict[str, float]) -> Finding:
    figures: dict[str, float | int | str] = {"num_sampled": num_edges}
    figures |= {f"explained_by_{parts}": share for parts, share in explained.items()}
    enough = [parts for parts, share in explained.items() if share >= _ENOUGH]
    if not enough:
        detail = "not known: neither training items nor all items explain its scores; build it again."
        return Finding(CHECK, subject, "unknown", figures, detail)
    if enough[0] != c.TRAIN:
        detail = (
            f"its scores are those of {enough[0]} items; training items explain {explained[c.TRAIN]:.0%}."
        )
        return Finding(CHECK, subject, "leak", figures, detail)
    detail = f"the scores of {num_edges:,} sampled edges are those of training items."
    return Finding(CHECK, subject, "ok", figures, detail)
