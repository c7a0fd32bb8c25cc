import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.ids import canonical_json, digest, digest_texts, fingerprint

VECTORS = Path(__file__).parents[2] / "golden" / "digests.json"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def test_digests_equal_the_recorded_test_vectors():
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    assert len(vectors) >= 6
    for vector in vectors:
        assert canonical_json(vector["value"]) == vector["canonical"]
        assert digest(vector["value"]) == vector["digest"]


@given(json_values)
def test_canonical_json_survives_a_round_trip(value):
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(max_size=6), st.integers(), min_size=2, max_size=6))
def test_order_of_keys_does_not_matter(value):
    turned = dict(reversed(list(value.items())))
    assert digest(turned) == digest(value)


def test_composed_and_decomposed_letters_are_one():
    assert digest("caf\u00e9") == digest("cafe\u0301")
    assert digest_texts(["caf\u00e9"]) == digest_texts(["cafe\u0301"])


@given(st.lists(st.text(max_size=5), max_size=5), st.lists(st.text(max_size=5), max_size=5))
def test_sequences_of_texts_differ_when_their_borders_differ(first, second):
    import unicodedata

    def normal(texts):
        return [unicodedata.normalize("NFC", text) for text in texts]

    assert (digest_texts(first) == digest_texts(second)) == (normal(first) == normal(second))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(value):
    with pytest.raises(ValueError, match="finite numbers only"):
        canonical_json({"a": value})


def test_values_that_json_cannot_express_are_refused():
    with pytest.raises(TypeError, match="cannot express set"):
        canonical_json({"a": {1, 2}})


def test_an_absent_field_and_a_null_one_have_the_same_fingerprint():
    assert fingerprint({"title": "Tea", "brand": None}) == fingerprint({"title": "Tea"})
    assert fingerprint({"title": "Tea", "brand": ""}) != fingerprint({"title": "Tea"})
