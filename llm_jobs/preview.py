"""What a prompt would send to a model, for real rows of a store, without a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from featurestore import columns as c
from featurestore.errors import InputError
from featurestore.ids import canonical_json
from featurestore.source_tables import ITEMS, USERS
from featurestore.splits import current_split
from featurestore.store import Store
from llm_jobs.engine import Message
from llm_jobs.entity_fields import entity_fields
from llm_jobs.history import user_histories
from llm_jobs.prompt import EVENTS, Prompt, Stage
from llm_jobs.render import check_variables, conversation

_TABLES = {"item": (ITEMS, c.ITEM_ID), "user": (USERS, c.USER_ID)}


@dataclass(frozen=True, slots=True)
class Preview:
    """The conversation of one entity.

    Attributes:
        entity_id: Which item or user.
        stage: Name of the stage that would be asked.
        messages: What the engine would get. Answers of earlier stages are those of the prompt's sample.
        notes: What cleaning took out of each field.
    """

    entity_id: str
    stage: str
    messages: tuple[Message, ...]
    notes: dict[str, tuple[str, ...]]


def preview_prompt(
    store: Store, prompt: Prompt, *, stage: str | None = None, limit: int = 2, ids: Sequence[str] = ()
) -> list[Preview]:
    """Render a prompt for rows of a store.

    Args:
        store: A store with ingested rows.
        prompt: The prompt.
        stage: Name of the stage to ask; the last one if None, whose conversation holds all it builds on.
        limit: Rows to render, from the first one stored; not used if ``ids`` are given.
        ids: Entities to render.

    Raises:
        InputError: If nothing was ingested.
        MissingIdsError: Naming the ``ids`` that are not there.
        UsageError: If the rows lack a field that the prompt reads.
    """
    asked = prompt.stage(stage) if stage else prompt.stages[-1]
    table, key = _TABLES[prompt.entity]
    if store.latest(table) is None:
        raise InputError(f"{store.uri} holds no {prompt.entity}s.", hint="Run `featurestore ingest` first.")
    rows = store.read(table, ids=list(ids) or None, key=key)
    check_variables(prompt, rows.column_names)
    shown = rows.slice(0, len(ids) or limit).to_pylist()
    events = _events(store, prompt, [row[key] for row in shown])
    return [_preview(prompt, asked, row[key], row, events.get(row[key])) for row in shown]


def _preview(
    prompt: Prompt, stage: Stage, entity_id: str, row: dict[str, Any], events: Sequence[dict[str, Any]] | None
) -> Preview:
    entity = entity_fields(prompt, row)
    fields = entity.fields | ({EVENTS: events} if events is not None else {})
    answers = {name: canonical_json(answer) for name, answer in prompt.sample.answers.items()}
    messages = conversation(prompt, stage, fields, answers)
    return Preview(entity_id, stage.name, messages, entity.removed)


def _events(store: Store, prompt: Prompt, user_ids: Sequence[str]) -> dict[str, Sequence[dict[str, Any]]]:
    if prompt.history is None:
        return {}
    split = current_split(store)
    if split is None:
        raise InputError(
            f"{store.uri} holds no split, so no event is known to be a training event.",
            hint="Run `featurestore ingest` with interactions first.",
        )
    histories = user_histories(store, prompt.history, user_ids, split, user_written=prompt.user_written)
    return {user: history.events for user, history in histories.items()}
