"""A store of synthetic entities that carry hostile texts, and the same prompt with its defence taken away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

import polars as pl
import pyarrow as pa

from featurestore import columns as c
from featurestore import schema
from featurestore.errors import UsageError
from featurestore.source_tables import INTERACTIONS, ITEMS, USERS
from featurestore.splits import SplitPolicy, record_split
from featurestore.stores.memory import MemoryStore
from llm_jobs.engine import Completion, EngineInfo, LLMEngine, Request
from llm_jobs.prompt import Prompt
from llm_jobs.text_checks import CheckName, Checks

_TAGS: Final = ("<data>", "</data>")
_REVIEW_COLUMNS: Final = ("review", "reviews")
_CARRIERS: Final[tuple[Mapping[str, str], ...]] = (
    {
        c.TITLE: "Stoneware Teapot, 1.2 l",
        c.BRAND: "Halden",
        c.CATEGORIES: "Home > Kitchen > Tea",
        c.DESCRIPTION: "Hand-thrown teapot, bamboo handle. Keeps tea warm for an hour. Wash by hand.",
    },
    {
        c.TITLE: "Trail Running Vest, 8 l",
        c.BRAND: "Nordfell",
        c.CATEGORIES: "Sports > Running",
        c.DESCRIPTION: "Light vest with two soft flasks. Fits close, dries fast. The pockets are small.",
    },
    {
        c.TITLE: "Folding Desk Lamp",
        c.BRAND: "Lumen & Co",
        c.CATEGORIES: "Office > Lighting",
        c.DESCRIPTION: "Three colour temperatures and a charging port. The arm folds flat. Plastic foot.",
    },
)
"""Plain items around each hostile text; an attack and its twin share one."""


@dataclass(frozen=True, slots=True)
class PlacedText:
    """A text that one entity is to carry.

    Attributes:
        entity_id: The item, or the user whose history holds the item.
        place: Title, description or review.
        text: The text.
        carrier: Number of the plain item around it.
    """

    entity_id: str
    place: str
    text: str
    carrier: int


def build_world(prompt: Prompt, placed: Sequence[PlacedText]) -> MemoryStore:
    """A store in memory with one entity per text.

    For a prompt over users each text stands in the middle one of three items of a user's training events.

    Raises:
        UsageError: If the prompt reads no field that could hold a text.
    """
    store = MemoryStore("redteam")
    readable = prompt.history.fields if prompt.history else prompt.variables
    if not readable:
        raise UsageError(f"prompt {prompt.name!r} reads no field: nothing hostile can reach it.")
    items: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for each in placed:
        if prompt.entity == "item":
            items.append({c.ITEM_ID: each.entity_id, **_fields(each, readable)})
            continue
        around = [_CARRIERS[(each.carrier + step) % len(_CARRIERS)] for step in (1, 2)]
        for position, fields in enumerate([around[0], _fields(each, readable), around[1]]):
            item_id = f"{each.entity_id}-{position}"
            items.append({c.ITEM_ID: item_id, **fields})
            events.append({c.USER_ID: each.entity_id, c.ITEM_ID: item_id, c.POSITION: position})
    store.replace(ITEMS, _table(items, schema.ITEMS, readable))
    if events:
        users = [{c.USER_ID: each.entity_id} for each in placed]
        store.replace(USERS, _table(users, schema.USERS, prompt.variables))
        _put_events(store, events)
    return store


def without_defence(prompt: Prompt) -> Prompt:
    """The prompt without the rules about the data block, without its marks, and with unchecked answers.

    A rule is a line of the system text that names ``<data>``.
    """
    system = [line for line in prompt.system.splitlines() if _TAGS[0] not in line]
    data = [line for line in prompt.data.splitlines() if line.strip() not in _TAGS]
    unchecked = {"quotes": (), "checks": Checks(skip=get_args(CheckName))}
    stages = tuple(stage.model_copy(update=unchecked) for stage in prompt.stages)
    bare = {"system": "\n".join(system), "data": "\n".join(data), "stages": stages}
    return prompt.model_copy(update=bare)


def has_data_rule(prompt: Prompt) -> bool:
    """Whether the system text says what the data block is."""
    return _TAGS[0] in prompt.system


class RawTextEngine:
    """An engine that is told the raw texts for the stand-ins that passed through cleaning and rendering.

    Args:
        engine: Who answers.
        raw_texts: Raw text by stand-in. No stand-in may be part of another.
    """

    def __init__(self, engine: LLMEngine, raw_texts: Mapping[str, str]) -> None:
        self._engine = engine
        self._raw_texts = raw_texts

    @property
    def info(self) -> EngineInfo:
        """See `LLMEngine.info`."""
        return self._engine.info

    def submit(self, requests: Sequence[Request]) -> None:
        """See `LLMEngine.submit`."""
        self._engine.submit([self._with_raw_text(request) for request in requests])

    def poll(self, timeout: float) -> list[Completion]:
        """See `LLMEngine.poll`."""
        return self._engine.poll(timeout)

    def abort(self, keys: Sequence[str]) -> None:
        """See `LLMEngine.abort`."""
        self._engine.abort(keys)

    def close(self) -> None:
        """See `LLMEngine.close`; whoever opened the engine closes it."""

    def _with_raw_text(self, request: Request) -> Request:
        told = "".join(message.content for message in request.messages if message.role == "user")
        found = [(name, raw) for name, raw in self._raw_texts.items() if name in told]
        if not found:
            raise ValueError("a stand-in for a raw text did not reach the prompt.")
        messages = request.messages
        for name, raw in found:
            messages = tuple(replace(m, content=m.content.replace(name, raw)) for m in messages)
        return replace(request, messages=messages)


def _fields(placed: PlacedText, readable: Sequence[str]) -> dict[str, str]:
    fields = {**_CARRIERS[placed.carrier % len(_CARRIERS)]}
    own = (placed.place, *(_REVIEW_COLUMNS if placed.place == "review" else ()))
    column = next((name for name in (*own, c.DESCRIPTION, c.TITLE) if name in readable), readable[0])
    pasted = placed.place == "review" and column not in own
    fields[column] = f"{fields.get(column, '')} Customer review: {placed.text}" if pasted else placed.text
    return fields


def _table(rows: Sequence[Mapping[str, Any]], contract: pa.Schema, read: Sequence[str]) -> pa.Table:
    extra = [pa.field(name, pa.string()) for name in read if name not in contract.names]
    return pa.Table.from_pylist(list(rows), schema=pa.schema([*contract, *extra]))


def _put_events(store: MemoryStore, events: Sequence[Mapping[str, Any]]) -> None:
    rows = [{**event, c.PART: c.TRAIN} for event in events]
    version = store.replace(INTERACTIONS, pa.Table.from_pylist(rows, schema=schema.INTERACTIONS))
    frame = pl.DataFrame(store.read(INTERACTIONS))
    record_split(store, frame, SplitPolicy(method="none"), interactions_version=version.version)
