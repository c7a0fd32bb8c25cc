"""Specs of encoders: what was stored before decoders came keeps its digest, and their fields count."""

import json
from pathlib import Path

import pytest

from featurestore.codes.codebooks import Origin
from featurestore.ids import digest
from featurestore.spec import EncoderSpec, VectorSpec, parse_spec, table_name

FIRST_VECTOR = Path(__file__).parents[2] / "golden" / "first_vector_spec.json"
ENCODER = EncoderSpec(name="e", model="m", pooling="mean", normalized=True, embedding_dim=2, max_tokens=8)


def test_stored_vectors_keep_their_digest_and_table() -> None:
    """The record was written before encoders had pooling tokens and adapters."""
    golden = json.loads(FIRST_VECTOR.read_text())
    assert not set(EncoderSpec.ADDED) & set(golden["record"]["encoder"])
    spec = parse_spec(golden["record"])
    assert isinstance(spec, VectorSpec)
    assert (spec.digest, table_name(spec)) == (golden["digest"], golden["table"])
    assert spec.encoder.digest == golden["encoder_digest"] == digest(golden["record"]["encoder"])
    assert spec.model_dump(mode="json") == {**golden["record"], "aligned_with": None}


@pytest.mark.parametrize(("field", "value"), [("pooling_token", "</s>"), ("adapter", "0" * 32)])
def test_what_an_added_field_says_is_written_down_and_counts(field: str, value: str) -> None:
    spec = ENCODER.model_copy(update={field: value})
    assert spec.model_dump(mode="json") == {**ENCODER.model_dump(mode="json"), field: value}
    assert EncoderSpec.model_validate(spec.model_dump(mode="json")) == spec
    assert EncoderSpec.model_validate_json(spec.model_dump_json()) == spec
    assert spec.digest != ENCODER.digest
    origins = [Origin(encoder=each, num_vectors=1, iterations=1) for each in (ENCODER, spec)]
    assert field not in origins[0].model_dump(mode="json")["encoder"]
    assert origins[1].model_dump(mode="json")["encoder"][field] == value


def test_every_added_field_is_one_and_has_a_default() -> None:
    assert set(EncoderSpec.ADDED) <= set(EncoderSpec.model_fields)
    assert not any(EncoderSpec.model_fields[name].is_required() for name in EncoderSpec.ADDED)
