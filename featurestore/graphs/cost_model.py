"""Which search to take: each is tried on a sample, and its seconds are carried over to all nodes.

Exact search costs the square of the number of nodes. An IVF index with 4√n clusters costs n·√n to make and
n²·(share of clusters searched) to search; HNSW costs n·log n. The constants are this machine's, measured on
the vectors themselves; recall is measured on the sample and falls somewhat with more nodes, so that the
recall of the graph itself is measured once more when it is stored.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from featurestore.graph import GraphBuilder, NeighborLists
from featurestore.graphs import open_builder
from featurestore.progress import Progress, no_progress
from featurestore.spec import ExactSearch, HnswSearch, IvfSearch, NeighborSearch

Vectors = npt.NDArray[np.float32]

_SAMPLE_ROWS = 8_192
_SAMPLE_SEED = 20240229
_PROBED_SHARES = (0.02, 0.05, 0.1, 0.2)
_HNSW_EFFORTS = (64, 128, 256)


@dataclass(frozen=True, slots=True)
class SearchEstimate:
    """What a search would cost and find.

    Attributes:
        search: The search, with the options for all nodes.
        device: Where it would run.
        seconds: Estimated for all nodes.
        recall: Measured on the sample; 1 for exact search.
    """

    search: NeighborSearch
    device: str
    seconds: float
    recall: float


@dataclass(frozen=True, slots=True)
class _Trial:
    of_nodes: Callable[[int], NeighborSearch]
    """The search for a number of nodes."""
    work: Callable[[int], float]
    """How its cost grows with them."""
    device: str = "cpu"


def estimate_searches(
    vectors: Vectors,
    num_neighbors: int,
    *,
    with_gpu: bool,
    progress: Progress = no_progress,
    sample_rows: int = _SAMPLE_ROWS,
) -> list[SearchEstimate]:
    """Try every search on a sample of the vectors, fastest first.

    Costs one exact build of the sample and one build by each trial: seconds.

    Args:
        vectors: (n, d) float32, finite, no zero rows.
        num_neighbors: k.
        with_gpu: Whether FAISS has a GPU to try.
        progress: Told per trial.
        sample_rows: Rows that are tried.
    """
    rng = np.random.default_rng(_SAMPLE_SEED)
    count = min(sample_rows, len(vectors))
    sample = vectors[np.sort(rng.choice(len(vectors), count, replace=False))]
    truth, seconds = _timed(open_builder(), sample, num_neighbors)
    exact = SearchEstimate(ExactSearch(), "cpu", seconds * (len(vectors) / count) ** 2, 1.0)
    estimates = [exact]
    trials = _trials(with_gpu=with_gpu)
    for done, trial in enumerate(trials):
        tried = trial.of_nodes(count)
        progress(done, len(trials), tried.method)
        found, seconds = _timed(open_builder(None, trial.device, tried), sample, num_neighbors)
        scaled = seconds * trial.work(len(vectors)) / trial.work(count)
        estimates.append(
            SearchEstimate(trial.of_nodes(len(vectors)), trial.device, scaled, recall(found, truth))
        )
    progress(len(trials), len(trials))
    return sorted(estimates, key=lambda each: each.seconds)


def cheapest(estimates: Sequence[SearchEstimate], min_recall: float) -> SearchEstimate:
    """The fastest search that found enough on the sample; exact search is always among them."""
    return min((each for each in estimates if each.recall >= min_recall), key=lambda each: each.seconds)


def recall(found: NeighborLists, truth: NeighborLists) -> float:
    """Share of the true neighbours that were found; 1 if there are none."""
    real = truth.neighbors >= 0
    hits = sum(
        int((truth.neighbors[:, rank, None] == found.neighbors)[real[:, rank]].any(axis=1).sum())
        for rank in range(truth.neighbors.shape[1])
    )
    return hits / int(real.sum()) if real.any() else 1.0


def _timed(builder: GraphBuilder, vectors: Vectors, num_neighbors: int) -> tuple[NeighborLists, float]:
    started = time.perf_counter()
    lists = builder.build(vectors, num_neighbors)
    return lists, time.perf_counter() - started


def _trials(*, with_gpu: bool) -> list[_Trial]:
    trials = [_ivf(share) for share in _PROBED_SHARES] + [_hnsw(effort) for effort in _HNSW_EFFORTS]
    if with_gpu:
        trials.append(_Trial(lambda _: ExactSearch(), lambda nodes: nodes**2, "gpu"))
    return trials


def _ivf(share: float) -> _Trial:
    def of_nodes(nodes: int) -> IvfSearch:
        lists = max(1, round(4 * math.sqrt(nodes)))
        return IvfSearch(num_lists=lists, num_probes=max(1, round(share * lists)))

    return _Trial(of_nodes, lambda nodes: 4 * nodes * math.sqrt(nodes) + share * nodes**2)


def _hnsw(effort: int) -> _Trial:
    return _Trial(lambda _: HnswSearch(search_effort=effort), lambda nodes: nodes * math.log(max(nodes, 2)))
