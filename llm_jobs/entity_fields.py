"""From an entity's stored fields to what a prompt shows of them, and the flags that say what was done.

Two things are derived from the fields of the data block. Every stage reads these, so each stage's fingerprint
covers what they come from. An absent field whose name is an attribute is filled with what the others state;
``attributes`` holds what they state in words that the model does not see, because they are cut or condensed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from llm_jobs.attributes import ATTRIBUTE_NAMES, as_text, extract_attributes
from llm_jobs.clean import clean_fields, flags_of
from llm_jobs.prompt import ATTRIBUTES, Prompt
from llm_jobs.render import needs_condensing
from llm_jobs.suspicion import suspicion_flags

_WHOLE: Final = 10**9
"""Tokens that no field has."""


@dataclass(frozen=True, slots=True)
class EntityFields:
    """What a prompt shows of one entity.

    Attributes:
        fields: Cleaned, cut and completed fields, to be rendered.
        flags: ``cleaned:title:html``, ``cut:description:1302>600``, ``masked:review:email``,
            ``extracted:brand``, ``suspicious:role_play``: what a reader of the texts should know of their
            input.
        removed: What each field lost, in words.
    """

    fields: dict[str, Any]
    flags: tuple[str, ...]
    removed: dict[str, tuple[str, ...]]


def entity_fields(prompt: Prompt, raw: Mapping[str, Any]) -> EntityFields:
    """The fields of one entity as a prompt shows them.

    Args:
        prompt: The prompt.
        raw: Stored fields, of which those that the prompt reads are used; a history's events are no field.
    """
    read = {name: raw.get(name) for name in prompt.variables}
    shown, removed = clean_fields(read, prompt.limits, user_written=prompt.user_written)
    cut = [name for name in prompt.data_fields if name in removed and removed[name].cut]
    absent = [name for name, value in shown.items() if value is None and name in ATTRIBUTE_NAMES]
    hidden = {*cut, *(s.condenses for s in prompt.stages if needs_condensing(s, shown))}
    extracted: list[str] = []
    if absent or (hidden and prompt.reads_attributes):
        uncut = {name: read[name] for name in cut}
        whole, _ = clean_fields(uncut, dict.fromkeys(cut, _WHOLE), user_written=prompt.user_written)
        stated = extract_attributes({name: shown[name] for name in prompt.data_fields} | whole)
        extracted = [name for name in absent if name in stated]
        shown |= {name: stated[name] for name in extracted}
        if prompt.reads_attributes:
            seen = {name: value for name, value in shown.items() if name in cut or name not in hidden}
            shown[ATTRIBUTES] = as_text(_unseen(stated, seen)) or None
    return EntityFields(
        fields=shown,
        flags=(*flags_of(removed), *(f"extracted:{name}" for name in extracted), *suspicion_flags(read)),
        removed={name: what.words for name, what in removed.items()},
    )


def _unseen(stated: Mapping[str, str], seen: Mapping[str, Any]) -> dict[str, str]:
    """Attributes that no field that the model sees holds or is called."""
    text = " ".join(str(value) for value in seen.values() if value is not None).casefold()
    unseen = [name for name, value in stated.items() if name not in seen and value.casefold() not in text]
    return {name: stated[name] for name in unseen}
