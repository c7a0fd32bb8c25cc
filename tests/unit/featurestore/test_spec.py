import json
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from featurestore.spec import (
    EncoderSpec,
    GraphSpec,
    IvfSearch,
    ModelSpec,
    Sampling,
    TextSpec,
    parse_spec,
    table_name,
)

FIRST_GRAPH = Path(__file__).parents[2] / "golden" / "first_graph_spec.json"

MODEL = ModelSpec(alias="m", repo="org/m", chat_template_digest="0")
SPEC = TextSpec(
    feature="item_cot",
    view="forward",
    entity="item",
    prompt_digest="p",
    reads=("title",),
    output_schema={"type": "object"},
    text_fields=("summarization",),
    model=MODEL,
    sampling=Sampling(),
)

CHANGES: dict[str, object] = {
    "feature": "other",
    "view": "backward",
    "entity": "user",
    "prompt_digest": "q",
    "reads": ("title", "brand"),
    "upstream": ("forward",),
    "output_schema": {"type": "object", "required": ["a"]},
    "text_fields": ("reasoning",),
    "parser_version": 2,
    "cleaner_version": 2,
    "history_size": 5,
    "model.alias": "n",
    "model.repo": "org/n",
    "model.revision": "main",
    "model.dtype": "bfloat16",
    "model.quantization": "awq",
    "model.adapter": "a",
    "model.chat_template_digest": "1",
    "model.reasoning_open": "<think>",
    "model.reasoning_close": "</think>",
    "sampling.temperature": 0.6,
    "sampling.top_p": 0.9,
    "sampling.repetition_penalty": 1.1,
    "sampling.max_tokens": 64,
    "sampling.seed": 1,
}


def changed(path: str, value: object) -> TextSpec:
    head, _, field = path.partition(".")
    if not field:
        return SPEC.model_copy(update={head: value})
    part: BaseModel = getattr(SPEC, head)
    return SPEC.model_copy(update={head: part.model_copy(update={field: value})})


@pytest.mark.parametrize("path", CHANGES)
def test_every_field_that_can_change_an_answer_changes_the_digest(path):
    assert TextSpec.model_validate(SPEC.model_dump()).digest == SPEC.digest
    assert changed(path, CHANGES[path]).digest != SPEC.digest


def test_the_list_of_changes_names_every_field():
    fields = {f for f in TextSpec.model_fields if f not in {"kind", "origin", "model", "sampling"}}
    fields |= {f"model.{f}" for f in ModelSpec.model_fields} | {
        f"sampling.{f}" for f in Sampling.model_fields
    }
    assert set(CHANGES) == fields


def test_a_spec_survives_json():
    assert parse_spec(SPEC.model_dump(mode="json")) == SPEC


@pytest.mark.parametrize("name", ["", "a/b", "a.b", "../a", "a b", "x" * 65])
def test_names_that_could_not_be_file_names_are_refused(name):
    with pytest.raises(ValidationError, match="feature"):
        TextSpec.model_validate({**SPEC.model_dump(), "feature": name})


def test_embedding_spaces_differ_by_any_field():
    encoder = EncoderSpec(name="e", model="m", pooling="mean", normalized=True, embedding_dim=4, max_tokens=8)
    other = EncoderSpec.model_validate({**encoder.model_dump(), "instruction": "query: "})
    assert encoder.digest != other.digest


def test_a_stored_spec_keeps_its_digest_and_table_when_fields_are_added():
    """The record was written before graphs had options."""
    golden = json.loads(FIRST_GRAPH.read_text())
    assert not set(GraphSpec.ADDED) & set(golden["record"])
    spec = parse_spec(golden["record"])
    assert (spec.digest, table_name(spec)) == (golden["digest"], golden["table"])
    assert parse_spec(spec.model_dump(mode="json")).digest == golden["digest"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("weights", "binary"),
        ("self_loops", True),
        ("symmetry", "union"),
        ("symmetry", "mutual"),
        ("max_in_degree", 5),
        ("search", IvfSearch(num_lists=4, num_probes=2)),
    ],
)
def test_an_added_field_that_says_something_else_changes_the_digest(field, value):
    golden = json.loads(FIRST_GRAPH.read_text())
    spec = parse_spec(golden["record"])
    assert spec.model_copy(update={field: value}).digest != golden["digest"]


def test_every_added_field_is_one_and_has_a_default():
    assert set(GraphSpec.ADDED) <= set(GraphSpec.model_fields)
    assert not any(GraphSpec.model_fields[name].is_required() for name in GraphSpec.ADDED)
