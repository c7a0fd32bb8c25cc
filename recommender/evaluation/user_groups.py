"""Groups of users by what a release says of them, and how unequally a model serves them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from featurestore import columns as c
from featurestore.errors import MissingVersionError
from featurestore.ids import RowArray
from featurestore.reader import Release
from recommender.data import IntArray
from recommender.evaluation.strata import Cut, Stratum

_MOST_GROUPS: Final = 30
_FEWEST_USERS: Final = 20
"""A gap between groups of fewer users is mostly chance."""
_UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Gap:
    """The largest difference between groups of one attribute.

    Attributes:
        attribute: Such as ``gender``.
        best: Label of the group with the highest mean.
        worst: Label of the group with the lowest mean.
        difference: Between their means.
    """

    attribute: str
    best: str
    worst: str
    difference: float


def attribute_cuts(release: Release, users: RowArray) -> list[Cut]:
    """Divisions of users by the attributes of the release's users table.

    An attribute of up to 30 values divides by value; numbers of more values divide into quartiles. Texts of
    more values, such as descriptions and zip codes with letters, divide nobody. Users without a value are a
    group, ``unknown``.

    Args:
        release: An opened release.
        users: (n,) int64 rows of its user id map.
    """
    try:
        table = release.users()
    except MissingVersionError:
        return []
    ids = release.id_map("user").ids
    asked = pl.DataFrame({c.USER_ID: [ids[row] for row in users.tolist()]})
    rows = asked.join(table, on=c.USER_ID, how="left", maintain_order="left")
    cuts = [_cut(rows[name]) for name in rows.columns if name != c.USER_ID]
    return [cut for cut in cuts if cut is not None]


def largest_gap(attribute: str, strata: Sequence[Stratum], metric: str) -> Gap | None:
    """Between the groups of one attribute that have at least 20 users; None without two of them."""
    groups = [s for s in strata if s.kind == attribute and s.label != _UNKNOWN]
    values = {s.label: s.means[metric] for s in groups if s.num_users >= _FEWEST_USERS}
    if len(values) < 2:
        return None
    best, worst = max(values, key=lambda name: values[name]), min(values, key=lambda name: values[name])
    return Gap(attribute, best, worst, values[best] - values[worst])


def _cut(values: pl.Series) -> Cut | None:
    if values.dtype.is_nested():
        return None
    texts = values.cast(pl.String)
    found = texts.drop_nulls().unique().sort()
    if 2 <= len(found) <= _MOST_GROUPS:
        return _by_value(values.name, texts, found)
    numbers = texts.cast(pl.Float64, strict=False)
    if len(found) > _MOST_GROUPS and numbers.null_count() == texts.null_count():
        return _by_quartile(values.name, numbers)
    return None


def _by_value(name: str, texts: pl.Series, found: pl.Series) -> Cut:
    places = {label: place for place, label in enumerate(found.to_list())}
    codes = [places.get(text, len(places)) for text in texts.to_list()]
    return Cut(name, (*places, _UNKNOWN), np.array(codes, np.int64))


def _by_quartile(name: str, numbers: pl.Series) -> Cut:
    values = numbers.to_numpy()
    known = np.isfinite(values)
    bounds = np.quantile(values[known], [0.25, 0.5, 0.75])
    codes: IntArray = np.where(known, np.digitize(values, bounds), 4)
    low, middle, high = (f"{bound:g}" for bound in bounds)
    labels = (f"below {low}", f"{low} to {middle}", f"{middle} to {high}", f"{high} and more", _UNKNOWN)
    return Cut(name, labels, codes)
