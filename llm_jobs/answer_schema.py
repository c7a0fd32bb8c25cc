"""The JSON schemas that prompts may ask for: objects, lists and strings, all of bounded length.

A bounded schema has a longest answer. That gives ``max_tokens``, so that a grammar-constrained answer is
never cut off, and the word limits that the model is told.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = Mapping[str, Any]

CHARS_PER_WORD = 6
"""Limits are told in words and enforced in characters: five letters and a space."""
CHARS_PER_TOKEN = 3
"""English runs at four characters a token or more; three leaves a quarter in reserve."""
_STRUCTURE_CHARS_PER_TOKEN = 2
_SPARE_TOKENS = 16

_KEYWORDS = {
    "object": {"type", "description", "properties", "required", "additionalProperties"},
    "array": {"type", "description", "items", "minItems", "maxItems"},
    "string": {"type", "description", "minLength", "maxLength"},
}


def schema_problems(schema: Schema, where: str = "output_schema") -> list[str]:
    """Everything that keeps a schema from being a bounded answer schema, as sentences; empty if it is one."""
    kind = schema.get("type")
    if kind not in _KEYWORDS:
        return [f"{where}.type is {kind!r}; known: array, object, string"]
    unknown = sorted(set(schema) - _KEYWORDS[kind])
    problems = [f"{where} has the unknown key {key!r}" for key in unknown]
    match kind:
        case "object":
            return problems + _object_problems(schema, where)
        case "array":
            return problems + _array_problems(schema, where)
        case _:
            return problems + _bound_problems(schema, where, "minLength", "maxLength")


def _object_problems(schema: Schema, where: str) -> list[str]:
    properties: dict[str, Schema] = schema.get("properties") or {}
    problems: list[str] = []
    if not properties:
        problems.append(f"{where}.properties is empty")
    if schema.get("additionalProperties") is not False:
        problems.append(f"{where}.additionalProperties must be false")
    if set(schema.get("required", ())) != set(properties):
        problems.append(f"{where}.required must list every property: {', '.join(properties)}")
    for name, part in properties.items():
        problems += schema_problems(part, f"{where}.properties.{name}")
    return problems


def _array_problems(schema: Schema, where: str) -> list[str]:
    problems = _bound_problems(schema, where, "minItems", "maxItems")
    if "items" not in schema:
        return [*problems, f"{where}.items is missing"]
    return problems + schema_problems(schema["items"], f"{where}.items")


def _bound_problems(schema: Schema, where: str, low: str, high: str) -> list[str]:
    most, least = schema.get(high), schema.get(low, 0)
    if not isinstance(most, int) or most < 1:
        return [f"{where}.{high} must be a number of at least 1, got {most!r}"]
    if not isinstance(least, int) or not 0 <= least <= most:
        return [f"{where}.{low} must be a number from 0 to {high}, got {least!r}"]
    return []


def worst_case_tokens(schema: Schema) -> int:
    """Tokens that the longest answer of a schema needs, without reasoning.

    Text counts a token for each 3 characters, the braces, quotes and names around it a token for each 2, and
    16 tokens are spare. Scripts that take a token or more per character are not covered by this estimate:
    give such prompts their own ``max_tokens``.
    """
    text, structure = _longest(schema)
    return math.ceil(text / CHARS_PER_TOKEN + structure / _STRUCTURE_CHARS_PER_TOKEN) + _SPARE_TOKENS


def _longest(schema: Schema) -> tuple[int, int]:
    """(characters of text, characters of JSON around it) of the longest answer."""
    match schema["type"]:
        case "string":
            return schema["maxLength"], 2
        case "array":
            text, structure = _longest(schema["items"])
            return schema["maxItems"] * text, schema["maxItems"] * (structure + 2) + 2
        case _:
            parts = [(len(name), *_longest(part)) for name, part in schema["properties"].items()]
            text = sum(part[1] for part in parts)
            return text, 2 + sum(length + 6 + structure for length, _, structure in parts)


def shrink(schema: Schema, max_chars: int) -> dict[str, Any]:
    """The schema with every string limited to ``max_chars`` characters."""
    shrunk = dict(schema)
    match schema["type"]:
        case "string":
            shrunk["maxLength"] = min(schema["maxLength"], max_chars)
            if "minLength" in schema:
                shrunk["minLength"] = min(schema["minLength"], shrunk["maxLength"])
        case "array":
            shrunk["items"] = shrink(schema["items"], max_chars)
        case _:
            parts = schema["properties"].items()
            shrunk["properties"] = {name: shrink(part, max_chars) for name, part in parts}
    return shrunk


def describe_answer(schema: Schema) -> str:
    """The part of a prompt that says what the JSON answer looks like, in the order of the schema."""
    lines = ["Answer with one JSON object and no other text. Its keys:"]
    return "\n".join(lines + _property_lines(schema, ""))


def _property_lines(schema: Schema, indent: str) -> list[str]:
    lines: list[str] = []
    for name, part in schema["properties"].items():
        about = part.get("description", "")
        lines.append(f'{indent}- "{name}": {about}{" " if about else ""}({_limit(part)})')
        items = part.get("items", {})
        nested = items if part["type"] == "array" else part
        if nested.get("type") == "object":
            lines += _property_lines(nested, indent + "  ")
    return lines


def _limit(schema: Schema) -> str:
    match schema["type"]:
        case "string":
            words = max(1, schema["maxLength"] // CHARS_PER_WORD)
            return f"text, at most {words} {'word' if words == 1 else 'words'}"
        case "array":
            least, most = schema.get("minItems", 0), schema["maxItems"]
            items = schema["items"]
            each = "an object with" if items["type"] == "object" else _limit(items)
            return f"list of {least} to {most}, each {each}"
        case _:
            return "object with"


def in_schema_order(answer: Any, schema: Schema) -> Any:  # noqa: ANN401 - any JSON value
    """A valid answer with its keys in the order that the schema names them."""
    match schema["type"]:
        case "object":
            return {name: in_schema_order(answer[name], part) for name, part in schema["properties"].items()}
        case "array":
            return [in_schema_order(part, schema["items"]) for part in answer]
        case _:
            return answer


def answer_json(answer: Mapping[str, Any], schema: Schema) -> str:
    """A valid answer as the model would have written it: keys in schema order, no escapes."""
    return json.dumps(in_schema_order(answer, schema), ensure_ascii=False)
