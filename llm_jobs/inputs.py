"""The entities a prompt runs over, and what it reads of each: fields, and of users a history."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from featurestore import columns as c
from featurestore.errors import InputError, UsageError
from featurestore.gates.strata import entity_degrees
from featurestore.source_tables import INTERACTIONS, ITEMS, USERS
from featurestore.spec import Entity
from featurestore.splits import current_split
from featurestore.store import Store
from llm_jobs.history import UserHistory, user_histories
from llm_jobs.prompt import EVENTS, Prompt
from llm_jobs.render import check_variables

_SOURCES: Mapping[Entity, tuple[str, str]] = {"item": (ITEMS, c.ITEM_ID), "user": (USERS, c.USER_ID)}


@dataclass(frozen=True, slots=True)
class EntityInputs:
    """Inputs of n entities, in ascending id order.

    Attributes:
        ids: n external ids.
        rows: n rows; the id column, and one column per field the prompt reads.
        histories: By user id; empty for prompts without a history.
        selected: Ids that the condition selects; None if there is no condition.
    """

    ids: tuple[str, ...]
    rows: pl.DataFrame
    histories: Mapping[str, UserHistory]
    selected: frozenset[str] | None = None

    @property
    def num_selected(self) -> int:
        """Entities that the condition selects."""
        return len(self.ids) if self.selected is None else len(self.selected)

    def selects(self, entity_id: str) -> bool:
        """Whether the condition selects an entity."""
        return self.selected is None or entity_id in self.selected

    def fields(self, position: int) -> dict[str, Any]:
        """Fields of one entity as stored, with its events if the prompt reads a history."""
        fields = self.rows.row(position, named=True)
        history = self.history(position)
        return {**fields, EVENTS: history.events} if history else fields

    def history(self, position: int) -> UserHistory | None:
        """The history of one entity, if the prompt reads one."""
        return self.histories.get(self.ids[position])

    def events_digest(self, position: int) -> str | None:
        """Digest of the events read, if the prompt reads a history."""
        history = self.history(position)
        return history.events_digest if history else None

    def event_marks(self, position: int) -> tuple[str, ...] | None:
        """Marks of the events read, if the prompt reads a history."""
        history = self.history(position)
        return history.marks if history else None


def load_inputs(store: Store, prompt: Prompt, *, where: str | None = None) -> EntityInputs:
    """Inputs of every entity, and which of them a condition selects.

    Args:
        store: With ingested source tables.
        prompt: What to read.
        where: A polars SQL expression over the entity's columns and ``degree`` (of an item the distinct users
            among its training events, of a user the items).

    Raises:
        InputError: If nothing was ingested.
        UsageError: If the prompt reads fields the rows lack, or ``where`` cannot be evaluated.
    """
    table, key = _SOURCES[prompt.entity]
    if store.latest(table) is None:
        raise InputError(f"the store has no {table}: nothing was ingested.", hint="Run: featurestore ingest")
    rows = pl.DataFrame(store.read(table))
    check_variables(prompt, rows.columns)
    selected = _select(store, prompt.entity, rows, where) if where is not None else None
    rows = rows.sort(key)
    ids = tuple(rows[key].to_list())
    return EntityInputs(
        ids,
        rows.select(key, *(name for name in prompt.variables if name != key)),
        _histories(store, prompt, ids),
        selected,
    )


def all_ids(store: Store, entity: Entity) -> frozenset[str]:
    """Ids of every entity in the store."""
    table, key = _SOURCES[entity]
    return frozenset(store.read(table, columns=[key])[key].to_pylist())


def _histories(store: Store, prompt: Prompt, ids: tuple[str, ...]) -> Mapping[str, UserHistory]:
    if prompt.history is None:
        return {}
    split = current_split(store)
    if split is None:
        raise InputError(
            f"prompt {prompt.name!r} reads training events, but the store has no split.",
            hint="Run: featurestore ingest",
        )
    return user_histories(store, prompt.history, ids, split, user_written=prompt.user_written)


def _degrees(store: Store, entity: Entity) -> pl.DataFrame:
    """Every entity's degree, by the column that names it."""
    table, key = _SOURCES[entity]
    entities, events, split = store.latest(table), store.latest(INTERACTIONS), current_split(store)
    assert entities is not None
    degrees = entity_degrees(
        store,
        entity,
        entities_version=entities.version,
        interactions_version=split.interactions_version if split else events.version if events else None,
    )
    return degrees.rename({c.ID: key})


def _select(store: Store, entity: Entity, rows: pl.DataFrame, where: str) -> frozenset[str]:
    """Ids of the rows that meet a condition; one that is neither true nor false of a row does not hold."""
    key = _SOURCES[entity][1]
    # Its degree in training goes by that name, whatever a column of the source says.
    joined = rows.drop("degree", strict=False).join(_degrees(store, entity), on=key, how="left")
    try:
        return frozenset(joined.filter(pl.sql_expr(where))[key].to_list())
    except pl.exceptions.PolarsError as error:
        raise UsageError(
            f"the condition {where!r} cannot be evaluated: {error}.",
            hint=f"It is a SQL expression over: {', '.join(joined.columns)}.",
        ) from error
