"""Strata: entities by how often training events speak of them. Texts matter most where events are few."""

from typing import Final

import polars as pl
from pydantic import Field, model_validator

from featurestore import columns as c
from featurestore.spec import Entity, Frozen
from featurestore.store import Store

DEGREE: Final = "degree"
_INTERACTIONS: Final = "source.interactions"


class Stratum(Frozen):
    """Entities of similar degree, and the share of them that must have a good text.

    Degree is the number of distinct users of an item, or items of a user, in training events.
    """

    name: str = Field(min_length=1)
    min_degree: int = Field(default=0, ge=0)
    max_degree: int | None = Field(default=None, ge=0)
    """The largest degree that belongs to it; no bound if None."""
    min_coverage: float = Field(default=0.0, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _hold_something(self) -> "Stratum":
        if self.max_degree is not None and self.max_degree < self.min_degree:
            raise ValueError(f"stratum {self.name!r}: max_degree is below min_degree")
        return self

    @property
    def label(self) -> str:
        """Its name and bounds: ``tail (degree 1 to 9)``. Another bound makes another stratum."""
        upper = "" if self.max_degree is None else str(self.max_degree)
        bounds = f"{self.min_degree} to {upper}" if upper else f"{self.min_degree} and more"
        return f"{self.name} (degree {upper if upper == str(self.min_degree) else bounds})"

    def holds(self) -> pl.Expr:
        """Whether the column ``degree`` lies in this stratum."""
        degree = pl.col(DEGREE)
        above = degree >= self.min_degree
        return above if self.max_degree is None else above & (degree <= self.max_degree)


def entity_degrees(
    store: Store, entity: Entity, *, entities_version: int, interactions_version: int | None
) -> pl.DataFrame:
    """Every entity of a source table with its degree in training events.

    Args:
        store: Holds the tables.
        entity: Whose degrees.
        entities_version: Version of ``source.items`` or ``source.users``.
        interactions_version: Version of ``source.interactions``; None if there are none.

    Returns:
        Columns ``id`` and ``degree`` (int64, 0 without training events), one row per entity.

    Raises:
        MissingVersionError: If a table has no such version.
    """
    key, other = (c.ITEM_ID, c.USER_ID) if entity == "item" else (c.USER_ID, c.ITEM_ID)
    rows = store.read(f"source.{entity}s", version=entities_version, columns=[key])
    entities = pl.DataFrame(rows).rename({key: c.ID})
    if interactions_version is None:
        return entities.with_columns(pl.lit(0, pl.Int64).alias(DEGREE))
    events = pl.DataFrame(
        store.read(_INTERACTIONS, version=interactions_version, columns=[key, other, c.PART])
    )
    pairs = events.filter(pl.col(c.PART) == c.TRAIN).select(pl.col(key).alias(c.ID), other).unique()
    degrees = pairs.group_by(c.ID).agg(pl.len().cast(pl.Int64).alias(DEGREE))
    return entities.join(degrees, on=c.ID, how="left", maintain_order="left").with_columns(
        pl.col(DEGREE).fill_null(0)
    )
