"""Bounded answer schemas: what is refused, how long the longest answer is, what the model is told."""

import json
from typing import Any

import pytest

from llm_jobs.answer_schema import (
    answer_json,
    describe_answer,
    schema_problems,
    shrink,
    worst_case_tokens,
)

TEXT = {"type": "string", "maxLength": 60}
STEP = {
    "type": "object",
    "additionalProperties": False,
    "required": ["quote", "shows"],
    "properties": {"quote": {**TEXT, "description": "exact words"}, "shows": TEXT},
}
NESTED: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["steps", "words"],
    "properties": {
        "steps": {
            "type": "array",
            "maxItems": 3,
            "minItems": 1,
            "items": STEP,
            "description": "the analysis",
        },
        "words": {"type": "array", "maxItems": 4, "items": {"type": "string", "maxLength": 6}},
    },
}


def test_a_bounded_schema_has_no_problems() -> None:
    assert schema_problems(NESTED) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"required": ["steps"]}, "output_schema.required must list every property: steps, words"),
        ({"properties": {}}, "output_schema.properties is empty"),
        ({"type": "number"}, "output_schema.type is 'number'; known: array, object, string"),
        ({"patternProperties": {}}, "output_schema has the unknown key 'patternProperties'"),
        (
            {"properties": {**NESTED["properties"], "words": {"type": "array", "items": TEXT}}},
            "output_schema.properties.words.maxItems must be a number of at least 1, got None",
        ),
        (
            {"properties": {**NESTED["properties"], "words": {"type": "array", "maxItems": 2}}},
            "output_schema.properties.words.items is missing",
        ),
        (
            {"properties": {**NESTED["properties"], "words": {**TEXT, "minLength": 61}}},
            "output_schema.properties.words.minLength must be a number from 0 to maxLength, got 61",
        ),
    ],
)
def test_problems_name_the_place_and_the_remedy(change: dict[str, Any], said: str) -> None:
    assert said in schema_problems({**NESTED, **change})


def test_longest_answer_covers_an_answer_that_fills_every_bound() -> None:
    step = {"quote": "q" * 60, "shows": "s" * 60}
    longest = json.dumps({"steps": [step] * 3, "words": ["w" * 6] * 4})
    assert worst_case_tokens(NESTED) >= len(longest) / 3


def test_shrinking_reaches_nested_strings_and_leaves_the_original() -> None:
    small = shrink(NESTED, 5)
    assert small["properties"]["steps"]["items"]["properties"]["quote"]["maxLength"] == 5
    assert small["properties"]["words"]["items"]["maxLength"] == 5
    assert NESTED["properties"]["words"]["items"]["maxLength"] == 6
    assert schema_problems(shrink({**STEP, "properties": {"quote": {**TEXT, "minLength": 9}}}, 5)) == [
        "output_schema.required must list every property: quote"
    ]


def test_the_model_is_told_limits_in_words_and_the_order_of_keys() -> None:
    assert describe_answer(NESTED).splitlines() == [
        "Answer with one JSON object and no other text. Its keys:",
        '- "steps": the analysis (list of 1 to 3, each an object with)',
        '  - "quote": exact words (text, at most 10 words)',
        '  - "shows": (text, at most 10 words)',
        '- "words": (list of 0 to 4, each text, at most 1 word)',
    ]


def test_answers_are_written_in_schema_order() -> None:
    answer = {"words": ["é"], "steps": [{"shows": "b", "quote": "a"}]}
    assert answer_json(answer, NESTED) == '{"steps": [{"quote": "a", "shows": "b"}], "words": ["é"]}'
