"""Semantic ids of a release as its readers get them: a row of codes per entity, and the way back."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore import columns as c
from featurestore.errors import MissingIdsError, UsageError
from featurestore.ids import ExternalId
from featurestore.spec import CodesSpec


class SemanticIds:
    """Semantic ids of one feature view: ``num_levels`` codes, coarse to fine, then the collision digit.

    Args:
        rows: A table of `featurestore.schema.CODES`, one row per entity.
        spec: What the ids are.
    """

    def __init__(self, rows: pl.DataFrame, spec: CodesSpec) -> None:
        self._rows = rows.select(c.ID, c.CODES, c.COLLISION).sort(c.ID)
        self.spec = spec

    def __len__(self) -> int:
        return self._rows.height

    def __repr__(self) -> str:
        shape = f"levels={self.spec.num_levels}, codebook_size={self.spec.codebook_size}"
        return f"SemanticIds('{self.spec.feature}.{self.spec.view}', n={len(self)}, {shape})"

    @cached_property
    def ids(self) -> list[ExternalId]:
        """External ids, ascending: row i of `matrix` is the semantic id of ``ids[i]``."""
        return self._rows[c.ID].to_list()

    @cached_property
    def matrix(self) -> npt.NDArray[np.int32]:
        """(n, num_levels + 1) int32, read-only. No two rows are equal; the last column is the digit."""
        codes = self._rows[c.CODES].explode().to_numpy().reshape(len(self), self.spec.num_levels)
        whole = np.column_stack([codes, self._rows[c.COLLISION].to_numpy()]).astype(np.int32, copy=False)
        whole.flags.writeable = False
        return whole

    def rows(self, ids: Sequence[ExternalId]) -> npt.NDArray[np.int32]:
        """Semantic ids of entities, in request order (repeats allowed): a new (m, num_levels + 1) array.

        Raises:
            MissingIdsError: Naming every id that has no semantic id.
        """
        absent = [each for each in dict.fromkeys(ids) if each not in self._positions]
        if absent:
            raise MissingIdsError(f"the semantic ids {self.spec.feature}.{self.spec.view}", absent)
        return self.matrix[[self._positions[each] for each in ids]]

    def entities(self, semantic_ids: npt.NDArray[np.integer]) -> list[ExternalId | None]:
        """The entities that semantic ids mean, such as a generative recommender's; None where they mean none.

        Args:
            semantic_ids: (m, num_levels + 1) integers: codes, then the digit.

        Raises:
            UsageError: If the rows have another width.
        """
        width = self.spec.num_levels + 1
        if semantic_ids.ndim != 2 or semantic_ids.shape[1] != width:
            raise UsageError(
                f"a semantic id of {self!r} is {width} numbers, its digit the last; got {semantic_ids.shape}."
            )
        return [self._entity_of.get(tuple(row)) for row in semantic_ids.tolist()]

    def to_polars(self) -> pl.DataFrame:
        """Columns ``id``, ``codes`` (list of int32) and ``collision``, by ascending id."""
        return self._rows

    @cached_property
    def _positions(self) -> dict[ExternalId, int]:
        return {each: position for position, each in enumerate(self.ids)}

    @cached_property
    def _entity_of(self) -> dict[tuple[int, ...], ExternalId]:
        return {tuple(row): each for row, each in zip(self.matrix.tolist(), self.ids, strict=True)}
