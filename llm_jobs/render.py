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
from llm_jobs.parse import answer_text
from llm_jobs.prompt import ATTRIBUTES, EVENTS, Prompt
from llm_jobs.stage import Stage
from llm_jobs.template import fill
from llm_jobs.token_estimate import approximate_tokens

FEATURE = "feature"
"""Key of an event that holds the item's own text feature, if the history names one."""
NOTHING_CONDENSED = "{}"
"""Canonical answer of a stage whose field was short: it was not asked, and the field stays as it is."""

_FIELD_BLOCK = "<data>\n{{ name }}: {{ value }}\n</data>"


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


def source_text(prompt: Prompt, stage: Stage, fields: Mapping[str, Any], answers: Mapping[str, str]) -> str:
    """The data block of a stage's conversation: what its quotes are looked up in.

    Args:
        prompt: The prompt.
        stage: Whose conversation.
        fields: Cleaned entity fields (see `data_block`).
        answers: Canonical answer JSON of earlier stages, by stage name.

    Raises:
        UsageError: If the answer of a stage that condenses one of the fields is missing.
    """
    return _data(prompt, stage, _shown_fields(prompt, stage, fields, answers))


def needs_condensing(stage: Stage, fields: Mapping[str, Any]) -> bool:
    """Whether a stage that condenses a field has to be asked: the field is longer than its limit."""
    text = fields.get(stage.condenses) if stage.condenses else None
    return isinstance(text, str) and approximate_tokens(text) > stage.longer_than


def render_turn(prompt: Prompt, stage: Stage, fields: Mapping[str, Any]) -> str:
    """The user turn of one stage; the first turn of a conversation begins with the data block."""
    parts = [] if stage.upstream else [_data(prompt, stage, fields)]
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
        answers: Canonical answer JSON of each upstream stage, and of those that condense a field, by name.

    Raises:
        UsageError: If the answer of one of these stages is missing.
    """
    shown = _shown_fields(prompt, stage, fields, answers)
    messages = [Message("system", prompt.system.strip())]
    for turn in prompt.turns(stage):
        messages.append(Message("user", render_turn(prompt, turn, shown)))
        if turn.name == stage.name:
            break
        answer = _answer(prompt, stage, turn, answers)
        messages.append(Message("assistant", answer_json(answer, turn.output_schema)))
    return tuple(messages)


def _data(prompt: Prompt, stage: Stage, fields: Mapping[str, Any]) -> str:
    if stage.condenses:
        return fill(_FIELD_BLOCK, {"name": stage.condenses, "value": fields.get(stage.condenses)})
    return data_block(prompt, fields)


def _shown_fields(
    prompt: Prompt, stage: Stage, fields: Mapping[str, Any], answers: Mapping[str, str]
) -> dict[str, Any]:
    """The fields of a stage's conversation, with condensed texts in place of long ones."""
    shown = dict(fields)
    for field, source in prompt.condensing(stage).items():
        answer = _answer(prompt, stage, source, answers)
        if answer:
            shown[field] = answer_text(answer, source)
    return shown


def _answer(prompt: Prompt, stage: Stage, source: Stage, answers: Mapping[str, str]) -> dict[str, Any]:
    if source.name not in answers:
        raise UsageError(f"stage {stage.name!r} of {prompt.name!r} needs the answer of {source.name!r}.")
    return json.loads(answers[source.name])


def _values(prompt: Prompt, fields: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {name: fields.get(name) for name in (*prompt.variables, ATTRIBUTES)}
    if prompt.history is not None:
        empty: dict[str, Any] = dict.fromkeys([*prompt.history.fields, FEATURE])
        values[EVENTS] = [{**empty, **event} for event in fields.get(EVENTS) or ()]
    return values
