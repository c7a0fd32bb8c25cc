"""From a model's raw output to a valid answer, or a typed reason why there is none.

Thoughts never reach an answer: what stands before the closing reasoning tag is split off, an output that
never closes it is a failure, and so is an answer that still holds such a tag.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from featurestore.ids import canonical_json
from llm_jobs.answer_model import AnswerProblemError, validate_answer
from llm_jobs.answer_schema import describe_answer
from llm_jobs.clean import THINK_TAGS, strings_in, strip_template_tokens
from llm_jobs.stage import Stage
from llm_jobs.template import ABSENT
from llm_jobs.text_checks import CheckName, first_problem

PARSER_VERSION = 1
"""Raised when an equal output would give another answer."""

FailureReason: TypeAlias = (
    Literal["no_json", "schema", "empty_text", "cut_off", "think_leak", "quote_not_found"] | CheckName
)

_MAX_CANDIDATES = 32
_DEFAULT_TAGS = ("<think>", "</think>")
"""Of models that think without having been declared to."""
_TAG_IN_ANSWER = "the answer holds a reasoning tag"
_UNWANTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_STRAIGHT_QUOTES = str.maketrans(
    dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"') | dict.fromkeys("\u2018\u2019\u201a", "'")
)


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """A valid answer.

    Attributes:
        answer: The JSON object, keys in schema order.
        text: The text to store: the stage's text fields.
        canonical: Canonical JSON of ``answer``, which digests are taken of.
        reasoning: What the model thought before it answered, if it is a reasoning model.
    """

    answer: dict[str, Any]
    text: str
    canonical: str
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class ParseFailure:
    """Why an output is no answer.

    Attributes:
        reason: The typed reason that goes into the row.
        detail: One sentence, fit to be shown to the model when it is asked again.
    """

    reason: FailureReason
    detail: str


@dataclass(frozen=True, slots=True)
class SplitOutput:
    """An output in two parts."""

    reasoning: str | None
    answer: str


def split_reasoning(text: str, open_tag: str, close_tag: str) -> SplitOutput | ParseFailure:
    """Split a reasoning model's output at its last closing tag: all before it may be thoughts.

    The opening tag may be in the output, or in the prompt (the chat templates of R1 distills open it there).
    Thoughts may speak of the tag, so the first one need not end them. A closing tag that never comes means
    that the thoughts were cut off: nothing can be trusted.

    Args:
        text: Raw output.
        open_tag: Such as ``<think>``.
        close_tag: Such as ``</think>``.
    """
    before, found, after = text.rpartition(close_tag)
    if not found:
        return ParseFailure("cut_off", f"the output never closes its reasoning with {close_tag}")
    thoughts = before.strip().removeprefix(open_tag).strip()
    return SplitOutput(thoughts or None, after.strip())


def parse_answer(
    text: str,
    stage: Stage,
    reasoning_tags: tuple[str, str] | None = None,
    *,
    source_text: str | None = None,
    system: str = "",
) -> ParsedAnswer | ParseFailure:
    """The answer that an output holds.

    Args:
        text: Raw output of the engine.
        stage: The stage that was asked.
        reasoning_tags: Opening and closing tag, if the model was to reason first.
        source_text: The data block the model saw, which an answer may repeat; if given, the stage's quotes
            must occur in it.
        system: The system turn, which an answer may not repeat.
    """
    open_tag, close_tag = reasoning_tags or _DEFAULT_TAGS
    num_closed = text.count(close_tag)
    split = SplitOutput(None, text)
    if reasoning_tags is not None or num_closed:
        split = split_reasoning(text, open_tag, close_tag)
    if isinstance(split, ParseFailure):
        return split
    answer, opened_again, _ = split.answer.partition(open_tag or _DEFAULT_TAGS[0])
    found = _first_valid(answer, stage)
    if isinstance(found, ParseFailure):
        # The tag stands inside the answer, or thoughts go on after it: neither may be told from the other.
        expected = 1 if reasoning_tags is not None else 0
        return ParseFailure("think_leak", _TAG_IN_ANSWER) if opened_again or num_closed > expected else found
    failure = _content_failure(found, stage, source_text, system)
    if failure is not None:
        return failure
    return ParsedAnswer(found, answer_text(found, stage), canonical_json(found), split.reasoning)


def answer_text(answer: Mapping[str, Any], stage: Stage) -> str:
    """The text to store of an answer: one line per text field, lists joined, objects as ``a: b``."""
    return "\n".join(_as_text(answer[name]) for name in stage.text_fields).strip()


def _as_text(value: object) -> str:
    match value:
        case Mapping():
            return ": ".join(_as_text(part) for part in value.values())
        case list():
            joint = "\n" if any(isinstance(part, Mapping) for part in value) else ", "
            return joint.join(_as_text(part) for part in value)
        case _:
            return str(value)


def _first_valid(text: str, stage: Stage) -> dict[str, Any] | ParseFailure:
    """The first object in the text that the schema accepts, else the failure of the first object."""
    failure: ParseFailure | None = None
    for candidate in _objects(text):
        if isinstance(candidate, ParseFailure):
            failure = failure or candidate
            continue
        try:
            return validate_answer(_tidy(candidate), stage.output_schema)
        except AnswerProblemError as error:
            failure = failure or ParseFailure("schema", str(error))
    return failure or ParseFailure("no_json", f"no JSON object in {text[:80]!r}")


def _objects(text: str) -> Iterator[dict[str, Any] | ParseFailure]:
    """JSON objects in a text, wherever they stand: bare, in a fence, between sentences."""
    decoder = json.JSONDecoder(strict=False)
    start = text.find("{")
    for _ in range(_MAX_CANDIDATES):
        if start < 0:
            return
        try:
            value, end = decoder.raw_decode(text, start)
        except (json.JSONDecodeError, RecursionError) as error:
            if _is_cut_off(error, text):
                yield ParseFailure("cut_off", "the JSON object begins but never ends")
            end = start + 1
        else:
            yield value
        start = text.find("{", end)


def _is_cut_off(error: Exception, text: str) -> bool:
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")


def _tidy(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The value with NFC strings, without control characters, lone surrogates and chat-template tokens."""
    match value:
        case str():
            return unicodedata.normalize("NFC", strip_template_tokens(_UNWANTED.sub("", value))).strip()
        case dict():
            return {_tidy(name): _tidy(part) for name, part in value.items()}
        case list():
            return [_tidy(part) for part in value]
        case _:
            return value


def _content_failure(
    answer: dict[str, Any], stage: Stage, source_text: str | None, system: str
) -> ParseFailure | None:
    if any(THINK_TAGS.search(part) for part in strings_in(answer)):
        return ParseFailure("think_leak", _TAG_IN_ANSWER)
    if not any(character.isalnum() for character in answer_text(answer, stage)):
        return ParseFailure("empty_text", f"{', '.join(stage.text_fields)} hold no words")
    texts = {name: _as_text(answer[name]) for name in stage.text_fields}
    instructions = (system, stage.template, describe_answer(stage.output_schema))
    problem = first_problem(texts, stage.checks, instructions=instructions, data=source_text or "")
    if problem is not None:
        return ParseFailure(*problem)
    return _quote_failure(answer, stage, source_text) if source_text is not None else None


def quotes_found(answer: Mapping[str, Any], stage: Stage, source_text: str) -> list[bool]:
    """Whether each quote of a valid answer occurs in the data block, in the order of the stage's paths."""
    return [is_there for _, _, is_there in _quotes(answer, stage, source_text)]


def _quote_failure(answer: dict[str, Any], stage: Stage, source_text: str) -> ParseFailure | None:
    for path, quote, is_there in _quotes(answer, stage, source_text):
        if not is_there:
            return ParseFailure("quote_not_found", f"{path} {quote[:120]!r} is not in the input")
    return None


def _quotes(answer: Mapping[str, Any], stage: Stage, source_text: str) -> Iterator[tuple[str, str, bool]]:
    """(path, quote, whether it occurs) of every quote."""
    source = _comparable(source_text)
    for path in stage.quotes:
        for quote in _at_path(answer, path.split(".")):
            wanted = _comparable(quote).strip(" \"'.…")
            yield path, quote, wanted not in ("", ABSENT.casefold()) and wanted in source


def _at_path(value: Any, path: Sequence[str]) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    """Strings at a dotted path; lists on the way are entered."""
    if isinstance(value, list):
        for part in value:
            yield from _at_path(part, path)
    elif path:
        yield from _at_path(value[path[0]], path[1:])
    else:
        yield str(value)


def _comparable(text: str) -> str:
    """Text as quotes are compared: NFKC, one case, straight quotation marks, single spaces."""
    folded = unicodedata.normalize("NFKC", text).translate(_STRAIGHT_QUOTES).casefold()
    return " ".join(folded.split())
