"""Make catalogue text fit for a prompt: no markup, chat-template tokens, hidden characters or advertising.

Titles and descriptions are hostile input. A chat-template token in a title would end the user's turn; a zero
width or tag character can carry instructions that no reader sees. Taking one thing out can bring another
to light (``&lt;|im_start|&gt;``), so the steps run until nothing changes any more. What still changes after a
few rounds was built to do so and loses its special characters altogether.
"""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from llm_jobs.boilerplate import strip_advertising, strip_repeats
from llm_jobs.markup import strip_css, strip_html
from llm_jobs.personal_data import mask_personal_data
from llm_jobs.token_estimate import approximate_tokens, cut_to_tokens

CLEANER_VERSION: Final = 1
"""Raised when an equal input would give another text."""

DEFAULT_FIELD_TOKENS: Final = 100
"""Tokens of a field that no budget is given for (see `llm_jobs.token_estimate`)."""

_MAX_ROUNDS = 6
_NAMES_IN_ANGLES = (
    "s|bos|eos|pad|unk|mask|sep|cls|im_start|im_end|start_of_turn|end_of_turn|end_of_utterance|"
    "start_of_image|end_of_image|tool_call|tool_response|tools|tool_code|function_calls|"
    "BOS_TOKEN|EOS_TOKEN|sop|eop|eod|eot|eom|(?:begin|beginning|start|end)_of_(?:text|sentence|document)|seed:[a-z_]{1,20}|"
    "image_soft_token|fim_(?:prefix|middle|suffix|pad)|"
    "system|user|assistant|human|bot|SPECIAL_\\d{1,4}|extra_id_\\d{1,4}|reserved_\\d{1,4}"
)
_NAMES_IN_SQUARES = (
    "INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|IMG|IMG_END|IMG_BREAK|gMASK|sMASK|"
    "CLS|SEP|MASK|PAD|UNK|THINK|UNUSED_TOKEN_\\d{1,4}"
)
TEMPLATE_TOKENS: Final = re.compile(
    r"<\s{0,2}[|\uff5c][^<>|\uff5c]{1,64}[|\uff5c]\s{0,2}>"  # <|eot_id|>, DeepSeek's full-width bars
    r"|\[[|\uff5c][^\[\]|\uff5c]{1,64}[|\uff5c]\]"  # EXAONE's [|user|]
    r"|<{1,2}\s{0,2}/?\s{0,2}SYS\s{0,2}>{1,2}"
    rf"|<\s{{0,2}}/?\s{{0,2}}(?:{_NAMES_IN_ANGLES})\s{{0,2}}>"
    rf"|\[\s{{0,2}}/?\s{{0,2}}(?:{_NAMES_IN_SQUARES})\s{{0,2}}\]",
    re.IGNORECASE,
)
"""Tokens by which the chat templates of known models mark turns."""
_TURN_LABELS = re.compile(
    r"#{2,}\s{0,2}(?:Instruction|Response|Input|System|User|Assistant|Human)\s{0,2}:"
    r"|>>(?:QUESTION|ANSWER|INTRODUCTION)<<"
    r"|\b(?:USER|ASSISTANT|HUMAN):"
    r"|^[ \t]*(?:Human|Assistant)[ \t]?:",
    re.MULTILINE,
)
"""Words by which formats without tokens (Alpaca, Vicuna, Falcon) mark turns."""
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
class Removed:
    """What a field lost on its way into a prompt.

    Attributes:
        kinds: What was taken out, such as ``html``, with the characters it took; white space does not count.
        cut: Tokens before and the budget, if the text was too long.
        masked: Kinds of personal data that were masked, such as ``email``.
    """

    kinds: tuple[tuple[str, int], ...] = ()
    cut: tuple[int, int] | None = None
    masked: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.kinds or self.masked) or self.cut is not None

    @property
    def words(self) -> tuple[str, ...]:
        """For people: ``html``, ``cut from 1,302 to 600 tokens``."""
        names = (*(name for name, _ in self.kinds), *(f"masked {kind}" for kind in self.masked))
        return (*names, f"cut from {self.cut[0]:,} to {self.cut[1]:,} tokens") if self.cut else names


@dataclass(frozen=True, slots=True)
class CleanedText:
    """Text that may go into a prompt.

    Attributes:
        text: One line, NFC.
        removed: What was taken out.
    """

    text: str
    removed: Removed


def clean_text(text: str, max_tokens: int, *, user_written: bool = False) -> CleanedText:
    """Clean one text and cut it at a word end.

    Cleaning clean text changes nothing. Time is linear in the length of the text.

    Args:
        text: Anything.
        max_tokens: Tokens kept, at most, as `llm_jobs.token_estimate` counts them.
        user_written: A user wrote it: personal data is masked (see `llm_jobs.personal_data`), before a cut
            could leave half a number that nobody recognises.
    """
    lost: Counter[str] = Counter()
    whole = _strip(unicodedata.normalize("NFC", text), lost)
    masked: tuple[str, ...] = ()
    if user_written:
        found = mask_personal_data(whole)
        whole, masked = found.text, found.kinds
    tokens = approximate_tokens(whole)
    if tokens <= max_tokens:
        return CleanedText(whole, Removed(tuple(lost.items()), masked=masked))
    # Only half of a sentence may be left, which a later cleaning could take for another one.
    kept = _strip(cut_to_tokens(whole, max_tokens), Counter())
    return CleanedText(kept, Removed(tuple(lost.items()), (tokens, max_tokens), masked))


def clean_fields(
    fields: Mapping[str, Any], limits: Mapping[str, int], *, user_written: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, Removed]]:
    """Clean every text field of an entity.

    Args:
        fields: Field values. Strings are cleaned, lists of strings joined with ``; `` and cleaned; other
            values (numbers, a history's events) stay as they are. Blank text becomes None.
        limits: Tokens of each field, at most; `DEFAULT_FIELD_TOKENS` for fields without one.
        user_written: Names of the fields in which personal data is masked.

    Returns:
        The cleaned fields, and for each field that lost something what it lost.
    """
    cleaned: dict[str, Any] = {}
    removed: dict[str, Removed] = {}
    for name, value in fields.items():
        text = joined_text(value)
        if text is None:
            cleaned[name] = value
            continue
        limit = limits.get(name, DEFAULT_FIELD_TOKENS)
        result = clean_text(text, limit, user_written=name in user_written)
        cleaned[name] = result.text or None
        if result.removed:
            removed[name] = result.removed
    return cleaned, removed


def flags_of(removed: Mapping[str, Removed]) -> list[str]:
    """What fields lost, for a row's flags.

    ``cut:description:1302>600``, ``cleaned:description:html``, ``masked:review:email``.
    """
    flags: list[str] = []
    for name, what in removed.items():
        flags += [f"cleaned:{name}:{kind.replace(' ', '_')}" for kind, _ in what.kinds]
        flags += [f"masked:{name}:{kind}" for kind in what.masked]
        flags += [f"cut:{name}:{what.cut[0]}>{what.cut[1]}"] if what.cut else []
    return flags


def strings_in(value: object) -> Iterator[str]:
    """All strings of a nested value, keys left out."""
    match value:
        case str():
            yield value
        case Mapping():
            for part in value.values():
                yield from strings_in(part)
        case list() | tuple():
            for part in value:
                yield from strings_in(part)
        case _:
            return


def joined_text(value: object) -> str | None:
    """A string, or a list of strings joined with ``; ``; None for what is no text."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list | tuple) or not value or not all(isinstance(v, str) for v in value):
        return None
    return "; ".join(map(str, value))


def _strip(text: str, lost: Counter[str]) -> str:
    """The text after every step, repeated until none changes it; counts what each took."""
    for _ in range(_MAX_ROUNDS):
        before = text
        for name, step in _STEPS:
            changed = step(text)
            if changed != text and name:
                lost[name] += max(1, len(text) - len(changed))
            text = changed
        text = _one_line(text)
        if text == before:
            return text
    lost["special characters"] += 1
    return _one_line(text.translate(_SPECIAL))


def strip_template_tokens(text: str) -> str:
    """The text with chat-template tokens replaced by spaces; no new token can arise from what is left."""
    return TEMPLATE_TOKENS.sub(" ", text)


def unescape(text: str) -> str:
    """The text with HTML entities resolved, repeatedly escaped ones (``&amp;amp;lt;``) too."""
    return html.unescape(_LONG_REFERENCE.sub(" ", _REPEATED_AMP.sub("&", text)))


def _strip_think_tags(text: str) -> str:
    return THINK_TAGS.sub(" ", text)


def _strip_turn_labels(text: str) -> str:
    return _TURN_LABELS.sub(" ", text)


def _strip_hidden(text: str) -> str:
    return _HIDDEN.sub("", text)


_STEPS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("hidden characters", _strip_hidden),
    ("", unescape),
    ("template tokens", strip_template_tokens),
    ("template tokens", _strip_think_tags),
    ("template tokens", _strip_turn_labels),
    ("html", strip_html),
    ("css", strip_css),
    ("advertising", strip_advertising),
    ("repeats", strip_repeats),
)


def _one_line(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split()))
