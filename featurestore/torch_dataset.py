"""A release's vectors as a torch ``Dataset``.

The one file of this package that torch is needed to import; `Release.dataset` does so when it is asked.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from featurestore.embeddings import Embeddings, require_same_space
from featurestore.errors import MissingIdsError, UsageError
from featurestore.id_maps import IdMap
from featurestore.ids import ExternalId, RowArray


class VectorSample(NamedTuple):
    """One entity; a ``DataLoader`` stacks samples to a batch of the same two fields.

    Attributes:
        row: () int64: its row in the release's id map, for embedding tables beside it.
        vector: (d,) float32.
    """

    row: torch.Tensor
    vector: torch.Tensor


class VectorDataset(Dataset[VectorSample]):
    """Samples of entities that have a vector: map-style, lazily read from the mapped snapshot.

    Workers that are forked share the mapped pages; a sample's vector is a view of them until it is stacked.

    Args:
        sources: Vectors of one entity and one encoder; an entity takes those of the first that has any.
        id_map: Of that entity.
        ids: Exactly these entities, in this order; all that have a vector, by ascending id, if None.

    Raises:
        EmbeddingSpaceError: If encoders differ.
        UsageError: If the sources describe different entities.
        MissingIdsError: Naming each of ``ids`` that has no vector, and ids that are not in the id map.
    """

    def __init__(
        self, sources: Sequence[Embeddings], id_map: IdMap, ids: Sequence[ExternalId] | None = None
    ) -> None:
        require_same_space(*sources)
        if len({source.spec.entity for source in sources}) > 1:
            raise UsageError(f"vectors of items and users cannot stand in for each other: {list(sources)}.")
        self.ids = _all_ids(sources) if ids is None else list(ids)
        self._tensors = [source.to_torch() for source in sources]
        self._source, self._place = _places(sources, self.ids)  # (n,) each
        self._rows = torch.from_numpy(id_map.row_of(self.ids))  # (n,)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> VectorSample:
        vectors = self._tensors[self._source[index]]
        return VectorSample(self._rows[index], vectors[self._place[index]])


def _all_ids(sources: Sequence[Embeddings]) -> list[ExternalId]:
    return sorted({external_id for source in sources for external_id in source.ids})


def _places(sources: Sequence[Embeddings], ids: Sequence[ExternalId]) -> tuple[RowArray, RowArray]:
    """Of each id: which source has it first, and in which row."""
    chosen = np.full(len(ids), -1, np.int64)
    places = np.zeros(len(ids), np.int64)
    for number, source in enumerate(sources):
        found = source.find(ids)
        fresh = (chosen < 0) & (found >= 0)
        chosen[fresh], places[fresh] = number, found[fresh]
    if (chosen < 0).any():
        absent = dict.fromkeys(i for i, number in zip(ids, chosen.tolist(), strict=True) if number < 0)
        raise MissingIdsError(" or ".join(f"{s.spec.feature}.{s.spec.view}" for s in sources), list(absent))
    return chosen, places
