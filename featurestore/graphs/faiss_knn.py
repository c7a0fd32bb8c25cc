"""Exact kNN by FAISS: inner products of unit vectors over a flat index, on the CPU or a GPU.

FAISS finds k + 16 candidates in float32; they are scored again in float64. Where the float32 scores cannot
tell the k-th neighbour from what was left out (many equal vectors, say), the row is computed anew by
`featurestore.graphs.exact`: the result equals the oracle's, ties included.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from featurestore.errors import InputError, SetupError, missing_extra
from featurestore.graph import NeighborLists
from featurestore.graphs.exact import exact_neighbors
from featurestore.graphs.ranking import checked_unit_rows, rank_finalists

Device: TypeAlias = Literal["cpu", "gpu"]

_SPARE_CANDIDATES = 16
_CPU_CHUNK = 4096
_GPU_CHUNK = 1024
"""Queries of one call: a GPU index allocates for all of them at once (faiss#3049)."""
_GPU_MOST_NEIGHBORS = 2048
_GPU_ROUNDING = 1e-3
"""Bound of a score's error on a GPU; covers TF32 products (10 bits of mantissa)."""


class FaissGraphBuilder:
    """Calls FAISS, which runs at the speed of a matrix product.

    Args:
        device: ``gpu`` needs a FAISS that was built for GPUs, and one to run on.
    """

    name = "faiss_knn"

    def __init__(self, device: Device = "cpu") -> None:
        self._device: Device = device

    def build(self, vectors: npt.NDArray[np.float32], num_neighbors: int) -> NeighborLists:
        """See `GraphBuilder.build`."""
        unit = checked_unit_rows(vectors)
        wanted = min(num_neighbors, len(unit) - 1)
        if wanted < 1:
            return exact_neighbors(unit, np.arange(len(unit)), num_neighbors)
        candidates, weakest = self._search(unit.astype(np.float32), wanted)
        rows, scores = rank_finalists(unit, np.arange(len(unit)), candidates, num_neighbors)
        unsure = np.flatnonzero(scores[:, wanted - 1] <= weakest + 2 * self._rounding(unit.shape[1]))
        again = exact_neighbors(unit, unsure, num_neighbors)
        lists = NeighborLists(rows, np.where(rows >= 0, scores, 0.0).astype(np.float32))
        lists.neighbors[unsure] = again.neighbors
        lists.scores[unsure] = again.scores
        return lists

    def _search(
        self, unit: npt.NDArray[np.float32], num_neighbors: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Candidates without the query itself, and the float32 score of the weakest one found per query.

        The weakest is -inf where all rows are candidates: nothing was left out.
        """
        index = _open_index(unit.shape[1], self._device, num_neighbors)
        index.add(unit)
        asked = min(num_neighbors + _SPARE_CANDIDATES + 1, len(unit))
        if self._device == "gpu":
            asked = min(asked, _GPU_MOST_NEIGHBORS)
        step = _GPU_CHUNK if self._device == "gpu" else _CPU_CHUNK
        found = [index.search(unit[start : start + step], asked) for start in range(0, len(unit), step)]
        scores = np.concatenate([part[0] for part in found]).astype(np.float64)
        rows = np.concatenate([part[1] for part in found]).astype(np.int64)
        rows[rows == np.arange(len(unit))[:, None]] = -1
        weakest = scores[:, -1] if asked < len(unit) else np.full(len(unit), -np.inf)
        return rows, weakest

    def _rounding(self, embedding_dim: int) -> float:
        """Bound of a score's error: each of d float32 steps rounds by at most 2⁻²⁴ of a sum of terms ≤ 1."""
        if self._device == "gpu":
            return _GPU_ROUNDING
        return (embedding_dim + 4) * 2.0**-24


def _open_index(embedding_dim: int, device: Device, num_neighbors: int) -> Any:  # noqa: ANN401 -- FAISS has no types
    if find_spec("torch") is not None:
        import_module("torch")  # both bring an OpenMP runtime, and torch's must be loaded first (faiss#2126)
    try:
        import faiss
    except ImportError:
        raise missing_extra("faiss", "faiss-gpu") from None
    if device == "cpu":
        return faiss.IndexFlatIP(embedding_dim)
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        raise SetupError(
            "FAISS finds no GPU here: this build is for CPUs, or no CUDA device is visible.",
            hint="Install 'cot-featurestore[faiss-gpu]' without faiss-cpu on a CUDA machine, or use the CPU.",
        )
    if num_neighbors >= _GPU_MOST_NEIGHBORS:
        raise InputError(
            f"FAISS finds at most {_GPU_MOST_NEIGHBORS - 1} neighbours on a GPU, asked for {num_neighbors}."
        )
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, faiss.IndexFlatIP(embedding_dim))
