"""Which rows of a table are about a user, and the rows that are left without them.

What a user did is in the source tables; what was made from it is the texts, vectors, graphs and lists of
users, and the rows of items that were made from events (texts that read reviews, and what came of them).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl
import pyarrow as pa

from featurestore import columns as c
from featurestore import id_maps, schema
from featurestore.codes.collision_digits import issued_table
from featurestore.erasure.subject import Subject
from featurestore.features import FeatureRegistry
from featurestore.ids import ExternalId
from featurestore.spec import AnySpec, CodesSpec, GraphSpec, RecommendationsSpec, SourceSpec, table_name
from featurestore.store import Store

_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "text": (c.ID,),
    "vector": (c.ID,),
    "codes": (c.ID,),
    "graph": (c.SRC_ID, c.DST_ID),
    "recommendations": (c.USER_ID,),
}
_SOURCE_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "users": (c.USER_ID,),
    "interactions": (c.USER_ID,),
    "user_ids": (c.ID,),
    "quarantine": (c.RAW,),
}
Rewrite = Callable[[pl.DataFrame, Subject], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Holding:
    """A table that may hold something about users.

    Attributes:
        table: Its name.
        kind: Of its spec; ``issued`` for the record of semantic ids that were given out.
        columns: Those that name whom a row is about.
        of_users: Whether these are users; else items, and only rows that name an event set count.
        rewrite: Makes the rows that are left, where more is to do than to drop rows; None otherwise.
    """

    table: str
    kind: str
    columns: tuple[str, ...]
    of_users: bool = True
    rewrite: Rewrite | None = None

    def at(self, table: str) -> "Holding":
        """The same for another table of such rows."""
        return Holding(table, self.kind, self.columns, self.of_users, self.rewrite)

    def concerned(self, rows: pl.DataFrame, subject: Subject) -> pl.DataFrame:
        """The rows that are about the users, or about an item as they described it.

        Args:
            rows: At least `columns_read`.
            subject: The users.
        """
        if self.columns == (c.RAW,):
            return rows.filter(rows[c.RAW].map_elements(subject.is_named_in, pl.Boolean))
        ids = subject.user_ids if self.of_users else subject.item_ids
        found = rows.filter(pl.any_horizontal(pl.col(name).is_in(ids) for name in self.columns))
        return found.filter(pl.col(c.EVENT_SET).is_not_null()) if c.EVENT_SET in self.columns_read else found

    @property
    def columns_read(self) -> tuple[str, ...]:
        """The columns that `concerned` needs."""
        has_event_sets = not self.of_users and self.kind in {"text", "vector"}
        return (*self.columns, c.EVENT_SET) if has_event_sets else self.columns

    def without(self, rows: pa.Table, subject: Subject) -> pa.Table:
        """What is left of all rows of a version, in their order."""
        frame = pl.DataFrame(rows)
        if self.rewrite is not None:
            left = self.rewrite(frame, subject)
        else:
            left = frame.join(
                self.concerned(frame, subject).select(self.columns), on=self.columns, how="anti"
            )
        return left.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(rows.schema)


def holdings(store: Store) -> list[Holding]:
    """Every table of the store that may hold something about users, what they were made of coming last.

    So an erasure that is interrupted still finds the events of the users when it goes on.
    """
    specs = {version.table: version.spec for version in FeatureRegistry(store).every()}
    found = [holding for spec in specs.values() for holding in _of_feature(spec)]
    found += [_of_source(name) for name in ("quarantine", "users", "interactions", "user_ids")]
    stored = set(store.tables())
    return [each for each in found if each.table in stored]


def holding_of(spec: AnySpec) -> Holding | None:
    """What a spec's table may hold about users; None if it holds nothing of the kind."""
    if isinstance(spec, SourceSpec):
        return _of_source(spec.feature) if spec.feature in _SOURCE_KEYS else None
    return next(iter(_of_feature(spec)), None)


def _of_feature(spec: AnySpec) -> list[Holding]:
    columns = _KEYS.get(spec.kind)
    if columns is None:
        return []
    of_users = spec.entity == "user" or isinstance(spec, RecommendationsSpec)
    read_nothing = isinstance(spec, GraphSpec | CodesSpec) and spec.event_set is None
    if not of_users and read_nothing:
        return []
    edges = _edges_of_other_users if of_users else _edges_of_other_items
    rewrite = edges if isinstance(spec, GraphSpec) else None
    found = [Holding(table_name(spec), spec.kind, columns, of_users, rewrite)]
    if isinstance(spec, CodesSpec) and of_users:
        found.append(Holding(issued_table(spec), "issued", (c.ID,), rewrite=_unnamed_codes))
    return found


def _of_source(feature: str) -> Holding:
    rewrite = {"interactions": _other_events, "user_ids": _buried, "quarantine": _other_refusals}.get(feature)
    return Holding(f"source.{feature}", "source", _SOURCE_KEYS[feature], rewrite=rewrite)


def _edges_of_other_users(rows: pl.DataFrame, subject: Subject) -> pl.DataFrame:
    return _edges_without(rows, subject.user_ids)


def _edges_of_other_items(rows: pl.DataFrame, subject: Subject) -> pl.DataFrame:
    return _edges_without(rows, subject.item_ids)


def _edges_without(rows: pl.DataFrame, ids: Collection[ExternalId]) -> pl.DataFrame:
    """Edges between others; each node's remaining neighbours move up."""
    left = rows.filter(~pl.any_horizontal(pl.col(name).is_in(ids) for name in (c.SRC_ID, c.DST_ID)))
    ranks = pl.int_range(pl.len(), dtype=pl.Int32).over(c.SRC_ID).alias(c.RANK)
    return left.sort(c.SRC_ID, c.RANK).with_columns(ranks)


def _other_events(rows: pl.DataFrame, subject: Subject) -> pl.DataFrame:
    """Stored order counts: it is that of histories."""
    return rows.filter(~pl.col(c.USER_ID).is_in(subject.user_ids))


def _other_refusals(rows: pl.DataFrame, subject: Subject) -> pl.DataFrame:
    return rows.filter(~rows[c.RAW].map_elements(subject.is_named_in, pl.Boolean))


def _buried(rows: pl.DataFrame, subject: Subject) -> pl.DataFrame:
    """An id map whose rows stay taken: a row that meant a user never comes to mean another one."""
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema.ID_MAP)
    return pl.DataFrame(id_maps.forget(table, subject.user_ids))


def _unnamed_codes(rows: pl.DataFrame, subject: Subject) -> pl.DataFrame:
    """Semantic ids that stay taken, whoever had them."""
    named = pl.col(c.ID).is_in(subject.user_ids)
    return rows.with_columns(pl.when(named).then(None).otherwise(pl.col(c.ID)).alias(c.ID))


def ids_of(rows: pl.DataFrame, column: str) -> list[ExternalId]:
    """The distinct ids of a column, ascending."""
    return rows[column].unique().sort().to_list()
