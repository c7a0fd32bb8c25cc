"""Make catalogue text safe to put into a prompt: no markup, no chat-template tokens, no hidden characters.

Titles and descriptions are hostile input. A chat-template token in a title would end the user's turn; a zero
width or tag character can carry instructions that no reader sees. Taking one thing out can bring another
to light (``&lt;|im_start|&gt;``), so the steps run until nothing changes any more. What still changes after a
few rounds was built to do so and loses its special characters altogether.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from llm_jobs.markup import strip_css, strip_html

CLEANER_VERSION: Final = 1
"""Raised when an equal input would give another text."""

DEFAULT_FIELD_CHARS: Final = 400
"""Characters of a field that no limit is given for."""

_MAX_ROUNDS = 6
_NAMES_IN_ANGLES = (
    "s|bos|eos|pad|unk|mask|sep|cls|im_start|im_end|start_of_turn|end_of_turn|end_of_utterance|"
    "start_of_image|end_of_image|tool_call|tool_response|tools|tool_code|function_calls|"
    "system|user|assistant|human|bot|SPECIAL_\\d{1,4}|extra_id_\\d{1,4}|reserved_\\d{1,4}"
)
_NAMES_IN_SQUARES = (
    "INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|IMG|IMG_END|IMG_BREAK|gMASK|sMASK|"
    "CLS|SEP|MASK|PAD|UNK|THINK|UNUSED_TOKEN_\\d{1,4}"
)
TEMPLATE_TOKENS: Final = re.compile(
    r"<\s{0,2}[|\uff5c][^<>|\uff5c]{1,64}[|\uff5c]\s{0,2}>"  # <|eot_id|>, DeepSeek's full-width bars
    r"|<{1,2}\s{0,2}/?\s{0,2}SYS\s{0,2}>{1,2}"
    rf"|<\s{{0,2}}/?\s{{0,2}}(?:{_NAMES_IN_ANGLES})\s{{0,2}}>"
    rf"|\[\s{{0,2}}/?\s{{0,2}}(?:{_NAMES_IN_SQUARES})\s{{0,2}}\]",
    re.IGNORECASE,
)
"""Tokens by which the chat templates of known models mark turns."""
THINK_TAGS: Final = re.compile(
    r"<\s{0,2}/?\s{0,2}(?:think|thinking|thought|reasoning)\s{0,2}>", re.IGNORECASE
)
"""Tags between which reasoning models think."""

_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\uffff"
    "\ud800-\udfff\ue000-\uf8ff\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
_LONG_REFERENCE = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")
_REPEATED_AMP = re.compile(r"&(?:amp;)+", re.IGNORECASE)
_SPECIAL = str.maketrans(dict.fromkeys("<>&[]{}|\uff5c", " "))


@dataclass(frozen=True, slots=True)
class CleanedText:
    """Text that may go into a prompt.

    Attributes:
        text: One line, NFC.
        removed: What was taken out, in words; empty if only white space changed.
    """

    text: str
    removed: tuple[str, ...] = ()


def clean_text(text: str, max_chars: int) -> CleanedText:
    """Clean one text and cut it at a word end.

    Cleaning clean text changes nothing. Time is linear in the length of the text.

    Args:
        text: Anything.
        max_chars: Characters kept, at most; about four a token.
    """
    removed: dict[str, None] = {}
    cleaned = _one_line(text)
    for _ in range(_MAX_ROUNDS):
        before = cleaned
        for name, step in _STEPS:
            changed = step(cleaned)
            if changed != cleaned and name:
                removed[name] = None
            cleaned = changed
        cleaned = _one_line(cleaned)
        if cleaned == before:
            break
    else:
        removed["special characters"] = None
        cleaned = _one_line(cleaned.translate(_SPECIAL))
    if len(cleaned) > max_chars:
        removed[f"cut from {len(cleaned):,} to {max_chars:,} characters"] = None
        cleaned = _cut(cleaned, max_chars)
    return CleanedText(cleaned, tuple(removed))


def clean_fields(
    fields: Mapping[str, Any], limits: Mapping[str, int]
) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """Clean every text field of an entity.

    Args:
        fields: Field values. Strings are cleaned, lists of strings joined with ``; `` and cleaned; other
            values (numbers, a history's events) stay as they are. Blank text becomes None.
        limits: Characters of each field, at most; `DEFAULT_FIELD_CHARS` for fields without one.

    Returns:
        The cleaned fields, and for each field that lost something what it lost.
    """
    cleaned: dict[str, Any] = {}
    notes: dict[str, tuple[str, ...]] = {}
    for name, value in fields.items():
        if not isinstance(value, str) and not _is_text_list(value):
            cleaned[name] = value
            continue
        text = value if isinstance(value, str) else "; ".join(value)
        result = clean_text(text, limits.get(name, DEFAULT_FIELD_CHARS))
        cleaned[name] = result.text or None
        if result.removed:
            notes[name] = result.removed
    return cleaned, notes


def strip_template_tokens(text: str) -> str:
    """The text with chat-template tokens replaced by spaces; no new token can arise from what is left."""
    return TEMPLATE_TOKENS.sub(" ", text)


def unescape(text: str) -> str:
    """The text with HTML entities resolved, repeatedly escaped ones (``&amp;amp;lt;``) too."""
    return html.unescape(_LONG_REFERENCE.sub(" ", _REPEATED_AMP.sub("&", text)))


def _strip_think_tags(text: str) -> str:
    return THINK_TAGS.sub(" ", text)


def _strip_hidden(text: str) -> str:
    return _HIDDEN.sub("", text)


_STEPS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("hidden characters", _strip_hidden),
    ("", unescape),
    ("template tokens", strip_template_tokens),
    ("template tokens", _strip_think_tags),
    ("html", strip_html),
    ("css", strip_css),
)


def _one_line(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split()))


def _is_text_list(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(part, str) for part in value)


def _cut(text: str, max_chars: int) -> str:
    """The first ``max_chars`` characters, ending with a whole word unless the word is half of them."""
    head = text[:max_chars]
    if not text[max_chars].isspace():
        space = head.rfind(" ")
        head = head[:space] if space > max_chars // 2 else head
    return head.rstrip()
