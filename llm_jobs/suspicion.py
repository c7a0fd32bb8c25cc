"""Which texts of a catalogue try to steer the model that reads them.

A finding is a flag for people, not a defence: a flagged row is generated like any other, from data that is
delimited, cleaned and declared as data. Rules are patterns and can be evaded; they are kept narrow, since a
flag that every hundredth honest item carries would soon be read by nobody.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from llm_jobs.clean import TEMPLATE_TOKENS, THINK_TAGS, strings_in, unescape
from llm_jobs.lookalikes import folded, has_masked_word, latinised, without_leet
from llm_jobs.suspicion_phrases import PHRASES, SQUEEZED

RULES: Final = (
    *dict.fromkeys(phrases.rule for phrases in PHRASES),
    "fake_answer",
    "fake_turn",
    "template_token",
    "delimiter",
    "hidden_text",
    "masked_letters",
)
"""Names of all rules."""

_INVISIBLE = re.compile(
    "[\xad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
_FLAG_EMOJI = re.compile("\U0001f3f4[\U000e0061-\U000e007a]{2,6}\U000e007f")
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,2000}>")
_APOSTROPHES = re.compile("['\u2018\u2019\u02bc\u00b4]")
_PUNCTUATION = re.compile(
    r"[\"#$%&()*+,\-/:;<=>@\[\\\]^_`{|}~\u00ab\u00bb\u2010-\u2015\u201c-\u201f\u2022\u3000\u3001\uff0c]+"
)
_SPACED_LETTERS = re.compile(r"(?:\b[^\W\d_][\W_]{1,3}){8,400}[^\W\d_]\b")

_HIDDEN_TEXT = re.compile(
    "[\U000e0020-\U000e007f]{3}|[\U000e0100-\U000e01ef]{3}|[\u202d\u202e]"
    "|(?:[^\\W\\d_][\u200b\u2060\ufeff]{1,9}){3}[^\\W\\d_]"
    r"|<[^<>]{0,200}?\b(?:display\s?:\s?none|visibility\s?:\s?hidden|font-size\s?:\s?0|opacity\s?:\s?0(?!\.))",
    re.IGNORECASE,
)
"""Tag characters, reversed reading order, letters set apart by characters without width, invisible styles."""
_FAKE_ANSWER = re.compile(
    r"[\"'](?:reasoning|summarization|feature|CoT|keywords|quote|characteristic|answer|response|role|content)[\"']"
    r"\s{0,4}:\s{0,4}[\"'\[{]",
    re.IGNORECASE,
)
_FAKE_TURN = re.compile(
    r"(?:^|[\n\r]|<br ?/?>)[\s#*]{0,8}(?:assistant|human|ai|instruction)[\s#*]{0,8}:"
    r"|(?:[\n\r]|<br ?/?>)\s{0,4}(?:user|system|response)\s{0,2}:(?!\s{0,4}(?:windows|mac|android|ios|linux))"
    r"|[.!?]\s{1,4}(?:assistant|human|user|system prompt|ai)\s{0,2}:"
    r"|#{2,4}\s{0,4}(?:instruction|response|system|user|end of (?:input|data|text))\b",
    re.IGNORECASE,
)
_DELIMITER = re.compile(
    "[<\u2039\u27e8\uff1c\ufe64]\\s{0,8}[/\u2044\u2215\uff0f]?\\s{0,8}data\\s{0,8}[/>\u203a\u27e9\uff1e\ufe65]"
    r"|(?:^|[\n\r\[]|[-=#*(/]{2})\s{0,4}(?:end|begin|start) (?:of )?(?:the )?"
    r"(?:data|input|user input|context|item data|prompt|system|untrusted)\b",
    re.IGNORECASE,
)
_HONEST_TOKEN = re.compile(
    r"<\s*/?\s*(?:s|pad|mask|sep|unk|user|system|human|bot|tools)\s*>"
    r"|\[\s*/?\s*(?:img|pad|sep|mask|cls|unk)\s*\]",
    re.IGNORECASE,
)
"""Template tokens that are also HTML, BBCode or plain words: taken out of prompts, but no sign of intent."""


def suspicions(text: str) -> tuple[str, ...]:
    """Names of the rules by which a raw text tries to steer a model, in the order of `RULES`.

    Args:
        text: As stored, before any cleaning. Time is linear in its length.
    """
    visible = unescape(_INVISIBLE.sub("", text))
    found = {*_written_findings(visible)}
    if _HIDDEN_TEXT.search(_FLAG_EMOJI.sub("", text)):
        found.add("hidden_text")
    plain = folded(visible)
    if has_masked_word(plain):
        found.add("masked_letters")
    for reading in _readings(plain):
        found.update(phrases.rule for phrases in PHRASES if phrases.occur_in(reading))
    if any(SQUEEZED.search(_letters_only(run[0])) for run in _SPACED_LETTERS.finditer(latinised(plain))):
        found.add("instruction_override")
    return tuple(rule for rule in RULES if rule in found)


def suspicion_flags(fields: Mapping[str, Any]) -> list[str]:
    """Flags of an entity's raw fields, such as ``suspicious:role_play``, without repeats, in rule order.

    Args:
        fields: Field values; strings anywhere in them are looked at, a history's events included.
    """
    found = {rule for text in strings_in(fields) for rule in suspicions(text)}
    return [f"suspicious:{rule}" for rule in RULES if rule in found]


def _written_findings(visible: str) -> Iterator[str]:
    if _FAKE_ANSWER.search(visible):
        yield "fake_answer"
    if _FAKE_TURN.search(visible):
        yield "fake_turn"
    if _DELIMITER.search(visible):
        yield "delimiter"
    tokens = (*TEMPLATE_TOKENS.finditer(visible), *THINK_TAGS.finditer(visible))
    if any(not _HONEST_TOKEN.fullmatch(token[0]) for token in tokens):
        yield "template_token"


def _readings(plain: str) -> Iterator[str]:
    """Folded text as words and sentence ends; then as it reads with lookalikes and digits as letters."""
    words = _words(plain)
    yield words
    latin = latinised(words)
    if latin != words:
        yield latin
    spelt = without_leet(latin)
    if spelt != latin:
        yield spelt


def _words(plain: str) -> str:
    bare = _APOSTROPHES.sub("", _TAG.sub(" ", plain))
    return f" {' '.join(_PUNCTUATION.sub(' ', bare).split())} "


def _letters_only(text: str) -> str:
    return "".join(character for character in text if character.isalpha())
