"""Answers as pydantic models, made from the bounded schemas that stages ask for.

Models are strict: nothing is converted, left out or added. Whoever validates gets the answer with its keys in
the order of the schema, or sentences that can be shown to the model.
"""

import json
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from featurestore.spec import Frozen
from llm_jobs.answer_schema import Schema

_MAX_PROBLEMS: Final = 3


class AnswerProblemError(ValueError):
    """An answer is not what its schema asks for; the message says where and why."""


def validate_answer(answer: object, schema: Schema) -> dict[str, Any]:
    """A valid answer, its keys in the order of the schema.

    Args:
        answer: Any JSON value.
        schema: A bounded answer schema (see `llm_jobs.answer_schema`).

    Raises:
        AnswerProblemError: If the answer does not match; three places at most are named.
    """
    try:
        return _model(json.dumps(schema)).model_validate(answer).model_dump(by_alias=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        said = (f"{'.'.join(map(str, each['loc'])) or 'the answer'}: {each['msg']}" for each in found)
        raise AnswerProblemError("; ".join(list(said)[:_MAX_PROBLEMS])[:400]) from None


@lru_cache(maxsize=64)
def _model(schema_json: str) -> type[BaseModel]:
    return _object_model(json.loads(schema_json))


class _Answer(Frozen):
    """What all answers share."""

    model_config = ConfigDict(strict=True)


def _object_model(schema: Schema) -> type[BaseModel]:
    # Keys of a schema need not be names that pydantic allows for fields.
    fields: dict[str, Any] = {
        f"field_{number}": (_annotation(part), Field(alias=name))
        for number, (name, part) in enumerate(schema["properties"].items())
    }
    return create_model("Answer", __base__=_Answer, **fields)


def _annotation(schema: Schema) -> Any:  # noqa: ANN401 - a type annotation
    match schema["type"]:
        case "string":
            return Annotated[
                str, Field(min_length=schema.get("minLength", 0), max_length=schema["maxLength"])
            ]
        case "array":
            items = _annotation(schema["items"])
            return Annotated[
                list[items], Field(min_length=schema.get("minItems", 0), max_length=schema["maxItems"])
            ]
        case _:
            return _object_model(schema)
