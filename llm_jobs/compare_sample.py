"""A seeded sample of a project's entities, copied into a store in memory."""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl
import pyarrow as pa

from featurestore import columns as c
from featurestore.errors import InputError, UnknownNameError
from featurestore.features import FeatureRegistry
from featurestore.ids import canonical_json, digest_texts
from featurestore.source_tables import INTERACTIONS, ITEMS, USERS
from featurestore.spec import Entity
from featurestore.splits import current_split
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore
from llm_jobs.inputs import all_ids
from llm_jobs.prompt import History, Prompt

_SOURCES: Final[Mapping[Entity, tuple[str, str]]] = {"item": (ITEMS, c.ITEM_ID), "user": (USERS, c.USER_ID)}


def draw_ids(store: Store, entity: Entity, size: int, seed: int) -> tuple[str, ...]:
    """Ids of a random sample, ascending; all of them if there are no more.

    Whether an id is drawn depends on the seed and the ids alone: a grown catalogue changes the sample little.

    Raises:
        InputError: If nothing was ingested.
    """
    _require(store, entity)
    ranked = sorted(all_ids(store, entity), key=lambda entity_id: digest_texts([str(seed), entity_id]))
    return tuple(sorted(ranked[:size]))


def copy_entities(store: Store, prompt: Prompt, ids: Sequence[str]) -> MemoryStore:
    """A store in memory with what a prompt reads of these entities, and with no text of the prompt itself.

    For a prompt over users it holds their training events, the items of these, and the items' texts.

    Raises:
        InputError: If nothing was ingested.
        MissingIdsError: Naming the ids that are not there.
    """
    _require(store, prompt.entity)
    table, key = _SOURCES[prompt.entity]
    copy = MemoryStore("sample")
    copy.replace(table, store.read(table, ids=list(ids), key=key))
    if prompt.history is not None:
        _copy_histories(store, copy, prompt.history, ids)
    return copy


def entity_titles(store: Store, entity: Entity, ids: Sequence[str]) -> dict[str, str]:
    """What people call these entities: an item's title, else the id."""
    table, key = _SOURCES[entity]
    rows = store.read(table, ids=list(ids), key=key)
    titles = rows[c.TITLE].to_pylist() if c.TITLE in rows.column_names else [None] * len(ids)
    return {entity_id: title or entity_id for entity_id, title in zip(ids, titles, strict=True)}


def _require(store: Store, entity: Entity) -> None:
    table = _SOURCES[entity][0]
    if store.latest(table) is None:
        raise InputError(f"the store has no {table}: nothing was ingested.", hint="Run: featurestore ingest")


def _copy_histories(store: Store, copy: MemoryStore, history: History, user_ids: Sequence[str]) -> None:
    split = current_split(store)
    if split is None:
        raise InputError(
            "the prompt reads training events, but the store has no split.", hint="Run: featurestore ingest"
        )
    events = store.read(INTERACTIONS, version=split.interactions_version)
    of_users = pl.col(c.USER_ID).is_in(list(user_ids)) & (pl.col(c.PART) == c.TRAIN)
    shown = pl.DataFrame(events.select([c.USER_ID, c.PART])).with_row_index("row").filter(of_users)
    events = events.take(pa.array(shown["row"].to_list(), pa.int64()))
    version = copy.replace(INTERACTIONS, events)
    # The record keeps its checksum: the sampled events are those of the project's split.
    record = split.model_copy(update={"interactions_version": version.version})
    copy.objects.put_new(
        f"splits/000001-{split.checksum}.json", canonical_json(record.model_dump(mode="json")).encode()
    )
    item_ids = sorted(set(events[c.ITEM_ID].to_pylist()))
    copy.replace(ITEMS, store.read(ITEMS, ids=item_ids, key=c.ITEM_ID))
    if history.item_feature is not None:
        _copy_item_texts(store, copy, history.item_feature, item_ids)


def _copy_item_texts(store: Store, copy: MemoryStore, item_feature: str, item_ids: Sequence[str]) -> None:
    feature, _, view = item_feature.partition(".")
    try:
        head = FeatureRegistry(store).head("text", feature, view)
    except UnknownNameError:
        return
    stored = set(store.read(head.table, columns=[c.ID])[c.ID].to_pylist())
    FeatureRegistry(copy).register(head.spec)
    copy.replace(head.table, store.read(head.table, ids=[i for i in item_ids if i in stored], key=c.ID))
