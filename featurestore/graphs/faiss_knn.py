"""kNN by FAISS: a flat index on the CPU or a GPU (exact), or an IVF or HNSW index (approximate).

FAISS finds candidates in float32; they are scored again in float64. On a flat index, if float32 cannot tell
the k-th neighbour from what was left out, the row is computed anew by `featurestore.graphs.exact`: the result
equals the oracle's, ties included. The other indexes leave out whom they did not visit: their recall is
measured when a graph is stored.
"""

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from featurestore.errors import InputError, SetupError
from featurestore.faiss_library import load_faiss
from featurestore.graph import NeighborLists
from featurestore.graphs import order_keys
from featurestore.graphs.candidates import SPARE, Candidates
from featurestore.graphs.exact import exact_candidates
from featurestore.graphs.nearest import cut, rounding
from featurestore.graphs.ranking import CheckedVectors, checked_vectors, pair_scores
from featurestore.spec import ExactSearch, HnswSearch, IvfSearch, NeighborSearch

Device: TypeAlias = Literal["cpu", "gpu"]

_CPU_CHUNK = 4096
_GPU_CHUNK = 1024
"""Queries of one call: a GPU index allocates for all of them at once (faiss#3049)."""
_GPU_MOST_NEIGHBORS = 2048
_GPU_ROUNDING = 1e-3
"""Bound of a score's error on a GPU; covers TF32 products (10 bits of mantissa)."""


class FaissGraphBuilder:
    """Searches an index of unit vectors by inner product.

    Args:
        search: Exact, or how the approximate index is made and searched.
        device: ``gpu`` needs a FAISS that was built for GPUs, and one to run on; HNSW has no GPU index.
    """

    name = "faiss_knn"

    def __init__(self, search: NeighborSearch | None = None, device: Device = "cpu") -> None:
        self.search: NeighborSearch = search or ExactSearch()
        self._device: Device = device

    def build(self, vectors: npt.NDArray[np.float32], num_neighbors: int) -> NeighborLists:
        """See `GraphBuilder.build`."""
        rows = checked_vectors(vectors)
        everything = np.arange(len(rows))
        wanted = min(num_neighbors, len(rows) - 1)
        if wanted < 1:
            return exact_candidates(rows, everything, num_neighbors).lists(num_neighbors)
        nominees, weakest = self._nominees(rows.unit(), wanted)
        found = _ranked(rows, nominees, order_keys.below(weakest), num_neighbors)
        if self.search.method == "exact":
            unsure = found.short_of(wanted)
            found.put(unsure, exact_candidates(rows, unsure, num_neighbors))
        return found.lists(num_neighbors)

    def _nominees(
        self, unit: npt.NDArray[np.float32], num_neighbors: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Rows that may be neighbours, and a bound of the scores of all others.

        The bound is -inf where nothing is known of the others: all were seen, or the search is approximate.
        """
        index = self._open_index(unit, num_neighbors)
        asked = min(num_neighbors + SPARE + 1, len(unit))
        if self._device == "gpu":
            asked = min(asked, _GPU_MOST_NEIGHBORS)
        step = _GPU_CHUNK if self._device == "gpu" else _CPU_CHUNK
        found = [index.search(unit[start : start + step], asked) for start in range(0, len(unit), step)]
        scores = np.concatenate([part[0] for part in found]).astype(np.float64)
        rows = np.concatenate([part[1] for part in found]).astype(np.int64)
        if asked == len(unit) or self.search.method != "exact":
            return rows, np.full(len(unit), -np.inf)
        error = _GPU_ROUNDING if self._device == "gpu" else rounding(unit.shape[1])
        return rows, scores[:, -1] + error

    def _open_index(self, unit: npt.NDArray[np.float32], num_neighbors: int) -> Any:  # noqa: ANN401
        faiss = load_faiss()
        index = _new_index(faiss, self.search, unit)
        if self._device == "gpu":
            index = _on_gpu(faiss, index, self.search, num_neighbors)
        index.train(unit)
        index.add(unit)
        return index


def gpu_is_there() -> bool:
    """Whether FAISS is built for GPUs and finds one."""
    faiss = load_faiss()
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


def _new_index(faiss: Any, search: NeighborSearch, unit: npt.NDArray[np.float32]) -> Any:  # noqa: ANN401
    width = unit.shape[1]
    if isinstance(search, IvfSearch):
        lists = min(search.num_lists, len(unit))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.min_points_per_centroid = 1  # small inputs are no reason to warn on standard output
        index.nprobe = min(search.num_probes, lists)
        return index
    if isinstance(search, HnswSearch):
        index = faiss.IndexHNSWFlat(width, search.num_links, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = search.build_effort
        index.hnsw.efSearch = search.search_effort
        return index
    return faiss.IndexFlatIP(width)


def _on_gpu(faiss: Any, index: Any, search: NeighborSearch, num_neighbors: int) -> Any:  # noqa: ANN401
    if isinstance(search, HnswSearch):
        raise SetupError("FAISS has no HNSW index for GPUs.", hint="Use --search ivf there, or the CPU.")
    if not gpu_is_there():
        raise SetupError(
            "FAISS finds no GPU here: this build is for CPUs, or no CUDA device is visible.",
            hint="Install 'cot-featurestore[faiss-gpu]' without faiss-cpu on a CUDA machine, or use the CPU.",
        )
    if num_neighbors >= _GPU_MOST_NEIGHBORS:
        raise InputError(
            f"FAISS finds at most {_GPU_MOST_NEIGHBORS - 1} neighbours on a GPU, asked for {num_neighbors}."
        )
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)


def _ranked(
    rows: CheckedVectors, nominees: npt.NDArray[np.int64], boundary: order_keys.Keys, width: int
) -> Candidates:
    """Nominees by exact score, without the node itself, cut at the boundary and at ``width``."""
    everything = np.arange(len(rows))
    keys = order_keys.encode(pair_scores(rows, everything, nominees), nominees)
    keys[(nominees == everything[:, None]) | (keys > boundary[:, None])] = order_keys.NONE
    return Candidates(*cut(keys, boundary, width))
