"""From a prompt and an entity's fields to the chat messages an engine gets.

Layout of a conversation: the system turn, equal for all entities; the first user turn with the data block,
the question and the form of the answer; then answer and question in turn. Later stages extend the
conversation of earlier ones, so an engine with a prefix cache computes the data block once.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

from featurestore.errors import UsageError, nearest_name
from llm_jobs.answer_schema import answer_json, describe_answer
from llm_jobs.engine import Message
from llm_jobs.prompt import EVENTS, Prompt, Stage
from llm_jobs.template import fill

FEATURE = "feature"
"""Key of an event that holds the item's own text feature, if the history names one."""


def check_variables(prompt: Prompt, available_fields: Collection[str]) -> None:
    """Refuse a prompt that reads fields the rows do not have, before any model is called.

    Raises:
        UsageError: Naming every missing field and the fields there are.
    """
    missing = [name for name in prompt.variables if name not in available_fields]
    if not missing:
        return
    near = {name: nearest_name(name, available_fields) for name in missing}
    guesses = [f"{name!r} may be your {guess!r}" for name, guess in near.items() if guess]
    known = ", ".join(sorted(available_fields)) or "none"
    raise UsageError(
        f"prompt {prompt.name!r} reads {', '.join(map(repr, missing))}, which the {prompt.entity} rows lack. "
        f"They have: {known}.",
        hint="; ".join(guesses) or "Copy the prompt with `featurestore prompts new` and edit its variables.",
    )


def data_block(prompt: Prompt, fields: Mapping[str, Any]) -> str:
    """The entity's data as the model sees it: what quoted spans are looked up in.

    Args:
        prompt: The prompt.
        fields: Cleaned entity fields; for a prompt with a history also ``events``, a sequence of mappings.
            Absent fields become ``None``.
    """
    return fill(prompt.data, _values(prompt, fields))


def render_turn(prompt: Prompt, stage: Stage, fields: Mapping[str, Any]) -> str:
    """The user turn of one stage; the first turn of a conversation begins with the data block."""
    parts = [] if stage.upstream else [data_block(prompt, fields)]
    parts += [fill(stage.template, _values(prompt, fields)), describe_answer(stage.output_schema)]
    return "\n\n".join(parts)


def conversation(
    prompt: Prompt, stage: Stage, fields: Mapping[str, Any], answers: Mapping[str, str]
) -> tuple[Message, ...]:
    """All messages of a stage, ending with its question.

    Args:
        prompt: The prompt.
        stage: The stage to be answered.
        fields: Cleaned entity fields (see `data_block`).
        answers: Canonical answer JSON of each upstream stage, by stage name.

    Raises:
        UsageError: If the answer of an upstream stage is missing.
    """
    messages = [Message("system", prompt.system.strip())]
    for turn in prompt.turns(stage):
        messages.append(Message("user", render_turn(prompt, turn, fields)))
        if turn.name == stage.name:
            break
        if turn.name not in answers:
            raise UsageError(f"stage {stage.name!r} of {prompt.name!r} needs the answer of {turn.name!r}.")
        messages.append(Message("assistant", answer_json(json.loads(answers[turn.name]), turn.output_schema)))
    return tuple(messages)


def _values(prompt: Prompt, fields: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {name: fields.get(name) for name in prompt.variables}
    if prompt.history is not None:
        empty: dict[str, Any] = dict.fromkeys([*prompt.history.fields, FEATURE])
        values[EVENTS] = [{**empty, **event} for event in fields.get(EVENTS) or ()]
    return values
