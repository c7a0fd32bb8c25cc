from generation_world import item_cot
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.models import find_model, model_spec
from llm_jobs.specs import answer_digest, input_digest, row_fingerprint, same_inputs, stage_specs

_ENTRY = find_model("echo", {})
_FIELDS = st.dictionaries(st.sampled_from(["title", "brand", "price"]), st.none() | st.text(max_size=4))


def test_a_stage_is_a_feature_view_of_its_prompt() -> None:
    specs = stage_specs(item_cot(), _ENTRY, model_spec(_ENTRY))
    assert [(spec.feature, spec.view, spec.entity) for spec in specs] == [
        ("item_cot", "forward", "item"),
        ("item_cot", "backward", "item"),
        ("item_cot", "fused", "item"),
    ]
    assert [spec.upstream for spec in specs] == [(), ("forward",), ("forward", "backward")]
    assert specs[0].sampling.max_tokens == item_cot().stages[0].max_tokens
    assert "title" in specs[0].reads


def test_a_new_fused_question_changes_the_fused_spec_only() -> None:
    old = stage_specs(item_cot(), _ENTRY, model_spec(_ENTRY))
    new = stage_specs(item_cot("Say it in one line."), _ENTRY, model_spec(_ENTRY))
    assert [a.digest == b.digest for a, b in zip(old, new, strict=True)] == [True, True, False]


def test_shorter_answers_change_every_spec() -> None:
    old = stage_specs(item_cot(), _ENTRY, model_spec(_ENTRY))
    new = stage_specs(item_cot().with_limits(max_field_chars=50), _ENTRY, model_spec(_ENTRY))
    assert all(a.digest != b.digest for a, b in zip(old, new, strict=True))


@given(_FIELDS, _FIELDS)
def test_inputs_are_equal_exactly_if_what_is_read_is_equal(
    first: dict[str, str | None], second: dict[str, str | None]
) -> None:
    reads = ("brand", "title")
    same = all(first.get(name) == second.get(name) for name in reads)
    assert (input_digest(first, reads, None) == input_digest(second, reads, None)) == same


def test_events_are_part_of_the_inputs() -> None:
    digests = {input_digest({"title": "x"}, ("title",), events) for events in (None, "a", "b")}
    assert len(digests) == 3


def test_a_fingerprint_tells_inputs_and_upstream_answers_apart() -> None:
    one, two = answer_digest('{"a":1}'), answer_digest('{"a":2}')
    prints = {row_fingerprint("in", upstream) for upstream in ([one], [two], [None], [one, two], [two, one])}
    assert len(prints) == 5
    assert all(same_inputs(value, "in") and not same_inputs(value, "other") for value in prints)
    assert row_fingerprint("in", []) == "in"
