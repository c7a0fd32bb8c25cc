"""Answers are validated strictly, and what is wrong is said in words that a model can act on."""

from typing import Any

import pytest

from llm_jobs.answer_model import AnswerProblemError, validate_answer

TEXT = {"type": "string", "minLength": 2, "maxLength": 5}
STEP = {"type": "object", "required": ["quote"], "additionalProperties": False, "properties": {"quote": TEXT}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["schema", "_a step"],
    "additionalProperties": False,
    "properties": {
        "schema": TEXT,  # a name that pydantic's models have themselves
        "_a step": {"type": "array", "minItems": 1, "maxItems": 2, "items": STEP},
    },
}
ANSWER = {"_a step": [{"quote": "oil"}], "schema": "a oil"}


def test_a_valid_answer_comes_back_in_the_order_of_its_schema() -> None:
    found = validate_answer(ANSWER, SCHEMA)
    assert found == ANSWER
    assert list(found) == ["schema", "_a step"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 7}, "schema: Input should be a valid string"),
        ({"schema": "a"}, "schema: String should have at least 2 characters"),
        ({"schema": "a\U0001f600oils"}, "schema: String should have at most 5 characters"),
        ({"_a step": []}, "_a step: List should have at least 1 item"),
        ({"_a step": [{"quote": "oil"}] * 3}, "_a step: List should have at most 2 items"),
        ({"_a step": [{"quote": None}]}, "_a step.0.quote: Input should be a valid string"),
        ({"_a step": {"quote": "oil"}}, "_a step: Input should be a valid list"),
        ({"field_0": "oil"}, "field_0: Extra inputs are not permitted"),
    ],
)
def test_what_does_not_match_is_named_with_its_place(change: dict[str, Any], said: str) -> None:
    with pytest.raises(AnswerProblemError) as caught:
        validate_answer({**ANSWER, **change}, SCHEMA)
    assert str(caught.value).startswith(said)


def test_several_problems_are_said_at_once() -> None:
    with pytest.raises(AnswerProblemError, match=r"^schema: Field required; _a step: Field required$"):
        validate_answer({}, SCHEMA)


@pytest.mark.parametrize("answer", [None, [], "text", 3])
def test_what_is_no_object_is_refused(answer: object) -> None:
    with pytest.raises(AnswerProblemError, match=r"^the answer: Input should be"):
        validate_answer(answer, SCHEMA)
