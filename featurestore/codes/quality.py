"""How good semantic ids are: use of the codebooks, collisions, error, purity, and how many moved."""

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore import columns as c
from featurestore.codes.codebooks import Codebooks
from featurestore.ids import ExternalId, canonical_json
from featurestore.spec import Frozen
from featurestore.store import Store

_NEIGHBORS = 10
_QUERIES = 256
_QUERY_SEED = 20240229


class LevelQuality(Frozen):
    """One level of the codes, or the prefix that ends with it."""

    codes_used: int
    """Distinct codes of this level that some entity has."""
    perplexity: float
    """Codes that would be used if all were used equally often: e to the entropy of the level's codes."""
    largest_share: float
    """Share of entities that have the most frequent code of this level."""
    reconstruction_error: float
    """Squared distance of vectors to the sum of their centroids up to this level, as a share of their squared
    distance to the mean vector: 0 is exact, 1 no better than the mean."""
    neighbor_purity: float
    """Share of entities' ten nearest neighbours whose codes are equal up to this level."""
    chance_purity: float
    """The same share of any two entities."""


class CodesChurn(Frozen):
    """How far semantic ids moved from what they were before."""

    against: str
    """Digest of the spec that the earlier codes are of."""
    num_common: int
    """Entities that have a semantic id before and after."""
    num_moved: int
    """Of these, entities whose semantic id, collision digit included, is another one."""
    moved_by_level: tuple[float, ...]
    """Share whose codes differ up to each level."""

    @property
    def moved_share(self) -> float:
        """Share of the entities that moved."""
        return self.num_moved / self.num_common if self.num_common else 0.0


class CodesQuality(Frozen):
    """What was measured of semantic ids; beside their table as ``codes/<table>/<version>.json``."""

    num_entities: int
    num_sharing: int
    """Entities that share their codes with another one: the digit alone tells them apart."""
    largest_group: int
    """Entities of the most frequent codes."""
    largest_digit: int
    """The highest collision digit in use; digits of entities that went away stay taken."""
    sample_rows: int
    """Entities, drawn with a fixed seed, that errors and purity were measured on."""
    levels: tuple[LevelQuality, ...]

    @property
    def collision_share(self) -> float:
        """Share of entities that share their codes with another one."""
        return self.num_sharing / self.num_entities if self.num_entities else 0.0


def measure_codes(
    rows: pl.DataFrame,
    *,
    codebooks: Codebooks,
    ids: Sequence[ExternalId],
    vectors: npt.NDArray[np.float32],
) -> CodesQuality:
    """Measure semantic ids.

    Args:
        rows: Columns ``id``, ``codes``, ``collision``, one row per entity; not empty.
        codebooks: What the codes are of.
        ids: Entities to measure errors and purity on.
        vectors: (m, d) float32, theirs.
    """
    codes = code_matrix(rows[c.CODES])
    groups = rows.group_by(c.CODES).len()["len"]
    sample = code_matrix(pl.DataFrame({c.ID: ids}).join(rows, on=c.ID, maintain_order="left")[c.CODES])
    pairs = _nearest(vectors)
    return CodesQuality(
        num_entities=rows.height,
        num_sharing=int(groups.filter(groups > 1).sum()),
        largest_group=int(groups.to_numpy().max()),
        largest_digit=int(rows[c.COLLISION].to_numpy().max()),
        sample_rows=len(sample),
        levels=tuple(
            _level(
                codes[:, level],
                prefixes=sample[:, : level + 1],
                error=_relative_error(vectors, codebooks.decode(sample[:, : level + 1])),
                pairs=pairs,
            )
            for level in range(codebooks.num_levels)
        ),
    )


def code_churn(before: pl.DataFrame, now: pl.DataFrame, *, against: str) -> CodesChurn:
    """How many entities moved from one set of semantic ids to another.

    Args:
        before: Columns ``id``, ``codes``, ``collision``: a table of `featurestore.schema.CODES`.
        now: The same; entities of only one of the two count as new or gone, not as moved.
        against: Digest of the spec of ``before``.
    """
    names = [c.ID, c.CODES, c.COLLISION]
    common = before.select(names).join(now.select(names), on=c.ID, suffix="_now")
    if common.is_empty():
        return CodesChurn(against=against, num_common=0, num_moved=0, moved_by_level=())
    old, new = code_matrix(common[c.CODES]), code_matrix(common[f"{c.CODES}_now"])
    shared = min(old.shape[1], new.shape[1])
    differs = np.logical_or.accumulate(old[:, :shared] != new[:, :shared], axis=1)
    other_digit = (common[c.COLLISION] != common[f"{c.COLLISION}_now"]).to_numpy()
    moved = differs[:, -1] | other_digit | (old.shape[1] != new.shape[1])
    return CodesChurn(
        against=against,
        num_common=common.height,
        num_moved=int(moved.sum()),
        moved_by_level=tuple(float(share) for share in differs.mean(axis=0)),
    )


def code_matrix(codes: pl.Series) -> npt.NDArray[np.int32]:
    """A column of codes as (n, levels) int32."""
    width = len(codes[0]) if len(codes) else 0
    return codes.explode().to_numpy().astype(np.int32, copy=False).reshape(len(codes), width)


def store_quality(store: Store, table: str, version: int, quality: CodesQuality) -> None:
    """Keep what was measured of a table version, unless something is kept of it already."""
    store.objects.put_new(
        _quality_path(table, version), canonical_json(quality.model_dump(mode="json")).encode()
    )


def read_code_quality(store: Store, table: str, version: int) -> CodesQuality | None:
    """What was measured of a version of a codes table, or None if nothing was."""
    path = _quality_path(table, version)
    if path not in store.objects.list(path):
        return None
    return CodesQuality.model_validate(json.loads(store.objects.read(path)))


def _level(
    codes: npt.NDArray[np.int32],
    *,
    prefixes: npt.NDArray[np.int32],
    error: float,
    pairs: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
) -> LevelQuality:
    shares = np.unique(codes, return_counts=True)[1] / len(codes)
    queries, neighbors = pairs
    group = np.unique(prefixes, axis=0, return_inverse=True)[1]
    sizes = np.bincount(group)
    return LevelQuality(
        codes_used=len(shares),
        perplexity=float(np.exp(-(shares * np.log(shares)).sum())),
        largest_share=float(shares.max()),
        reconstruction_error=error,
        neighbor_purity=float((group[queries][:, None] == group[neighbors]).mean())
        if neighbors.size
        else 0.0,
        chance_purity=float((sizes * (sizes - 1)).sum() / max(len(group) * (len(group) - 1), 1)),
    )


def _relative_error(vectors: npt.NDArray[np.float32], decoded: npt.NDArray[np.float32]) -> float:
    spread = float(((vectors - vectors.mean(axis=0)) ** 2).sum(dtype=np.float64))
    return float(((vectors - decoded) ** 2).sum(dtype=np.float64)) / spread if spread else 0.0


def _nearest(
    vectors: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(q,) drawn rows and the (q, k) rows nearest to each by squared distance, themselves left out."""
    count = min(_QUERIES, len(vectors))
    queries = np.sort(np.random.default_rng(_QUERY_SEED).choice(len(vectors), size=count, replace=False))
    squares = (vectors * vectors).sum(axis=1)
    distances = squares - 2 * vectors[queries] @ vectors.T  # (q, n), each row less its own constant
    distances[np.arange(count), queries] = np.inf
    kept = min(_NEIGHBORS, len(vectors) - 1)
    return queries, np.argpartition(distances, max(kept - 1, 0), axis=1)[:, :kept]


def _quality_path(table: str, version: int) -> str:
    return f"codes/{table}/{version:06d}.json"
