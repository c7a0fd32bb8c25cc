"""One version of a vector table, read piece by piece: what its rows are, then the vectors that matter."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore import columns as c
from featurestore.errors import InputError, StoreError
from featurestore.features import FeatureRegistry
from featurestore.ids import ExternalId
from featurestore.spec import AnyVectorSpec, VectorLike, table_name
from featurestore.store import Store
from featurestore.table_facts import matrix_of


@dataclass(frozen=True, slots=True)
class VectorRows:
    """Rows of a vector table.

    Attributes:
        spec: What the vectors are.
        version: The table's version, to which every read is pinned.
        marks: Columns ``id``, ``text_digest`` and ``event_set``, by ascending id.
    """

    spec: AnyVectorSpec
    version: int
    marks: pl.DataFrame
    _store: Store

    @property
    def event_set(self) -> str | None:
        """All event sets that the vectors read, sorted, joined with commas; None if they read no events."""
        return ",".join(self.marks[c.EVENT_SET].drop_nulls().unique().sort()) or None

    def sample(self, num_rows: int, *, seed: int) -> list[ExternalId]:
        """Ids of so many rows at most, drawn without replacement, ascending."""
        count = min(num_rows, self.marks.height)
        drawn = np.random.default_rng(seed).choice(self.marks.height, size=count, replace=False)
        return self.marks[c.ID].gather(np.sort(drawn)).to_list()

    def matrix(self, ids: Sequence[ExternalId]) -> npt.NDArray[np.float32]:
        """Vectors of ids, in their order: (m, d) float32.

        Raises:
            MissingIdsError: Naming every id that has no vector.
        """
        rows = self._store.read(table_name(self.spec), version=self.version, columns=[c.VECTOR], ids=ids)
        return matrix_of(rows)


def newest_vectors(store: Store, feature: str, view: str) -> VectorRows:
    """The head of a vector feature view, as it is now.

    Raises:
        UnknownNameError: If the store has no such vectors.
        InputError: If it has none yet.
    """
    spec = FeatureRegistry(store).head("vector", feature, view).spec
    if not isinstance(spec, VectorLike):
        raise StoreError(f"the head of the vectors {feature}.{view} is a {spec.kind} spec.")
    latest = store.latest(table_name(spec))
    if latest is None or latest.num_rows == 0:
        raise InputError(
            f"{feature}.{view} holds no vectors.", hint="Embed its texts first: `featurestore embed`."
        )
    names = [c.ID, c.TEXT_DIGEST, c.EVENT_SET]
    marks = pl.DataFrame(store.read(latest.table, version=latest.version, columns=names)).sort(c.ID)
    return VectorRows(spec, latest.version, marks, store)
