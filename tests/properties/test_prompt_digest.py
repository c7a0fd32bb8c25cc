"""Identity of prompts: what can change an answer changes a digest, and nothing else does."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.catalog import find_prompt, list_prompts
from llm_jobs.prompt import Prompt

NAMES = [prompt.name for prompt, _ in list_prompts(None)]


def changed(prompt: Prompt, path: tuple[str | int, ...], value: Any) -> Prompt:
    """The prompt with one value replaced."""
    content = copy.deepcopy(prompt.model_dump())
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value(place[path[-1]]) if callable(value) else value
    return Prompt.model_validate(content)


CHECKS = {"min_chars": 9, "language": "de", "refused_phrases": ("cheap",), "skip": ("refusal",)}


def digests(prompt: Prompt) -> dict[str, str]:
    return {stage.name: prompt.stage_digest(stage) for stage in prompt.stages}


def moved(before: Prompt, after: Prompt) -> set[str]:
    old, new = digests(before), digests(after)
    return {name for name in old if old[name] != new.get(name)}


@pytest.mark.parametrize("name", NAMES)
def test_reading_a_file_twice_gives_the_same_digests(name: str) -> None:
    assert digests(find_prompt(name, None)) == digests(find_prompt(name, None))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("field", ["system", "data"])
def test_what_all_stages_see_moves_all_of_them(name: str, field: str) -> None:
    prompt = find_prompt(name, None)
    assert moved(prompt, changed(prompt, (field,), lambda text: text + " Be brief.")) == set(digests(prompt))


@pytest.mark.parametrize("name", ["item_cot", "user_cot"])
@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, {"forward", "backward", "fused"}), (1, {"backward", "fused"}), (2, {"fused"})],
)
def test_a_new_question_moves_its_stage_and_those_whose_conversation_holds_it(
    name: str, number: int, expected: set[str]
) -> None:
    prompt = find_prompt(name, None)
    after = changed(prompt, ("stages", number, "template"), lambda text: text + " Be brief.")
    assert moved(prompt, after) == expected


@given(
    st.sampled_from(NAMES),
    st.integers(0, 2),
    st.sampled_from(["template", "max_tokens", "quotes", "describe", "order", "bound", *CHECKS]),
)
def test_every_part_of_a_stage_reaches_its_digest(name: str, number: int, part: str) -> None:
    prompt = find_prompt(name, None)
    number = min(number, len(prompt.stages) - 1)
    where = ("stages", number)
    first = next(iter(prompt.stages[number].output_schema["properties"]))
    schema = (*where, "output_schema")
    changes: dict[str, tuple[tuple[str | int, ...], Any]] = {
        "template": ((*where, "template"), lambda text: text + "?"),
        "max_tokens": ((*where, "max_tokens"), lambda tokens: tokens + 1),
        "quotes": ((*where, "quotes"), lambda quotes: (*quotes, first)),
        "describe": ((*schema, "properties", first, "description"), "something else"),
        "order": ((*schema, "properties"), lambda parts: dict(reversed(parts.items()))),
        "bound": ((*schema, "properties", first), _tighter),
        **{name: ((*where, "checks", name), value) for name, value in CHECKS.items()},
    }
    after = changed(prompt, *changes[part])
    assert prompt.stages[number].name in moved(prompt, after)
    assert prompt.digest != after.digest


def _tighter(schema: dict[str, Any]) -> dict[str, Any]:
    bound = "maxItems" if schema["type"] == "array" else "maxLength"
    return {**schema, bound: schema[bound] - 1}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("history", "size"), 19),
        (("history", "item_feature"), "item_text.text"),
        (("history", "fields"), ("title",)),
    ],
)
def test_what_is_shown_of_a_history_reaches_every_digest(path: tuple[str, str], value: object) -> None:
    prompt = find_prompt("user_cot", None)
    assert moved(prompt, changed(prompt, path, value)) == {"forward", "backward", "fused"}


def test_what_a_field_is_cut_to_reaches_every_digest() -> None:
    prompt = find_prompt("item_cot", None)
    assert moved(prompt, changed(prompt, ("field_tokens",), {"title": 80})) == set(digests(prompt))
    assert moved(prompt, changed(prompt, ("field_tokens",), {"title": 100})) == set()


@pytest.mark.parametrize("name", NAMES)
def test_what_no_model_sees_moves_nothing(name: str) -> None:
    prompt = find_prompt(name, None)
    renamed = changed(changed(prompt, ("name",), "other"), ("description",), "in other words")
    assert moved(prompt, changed(renamed, ("sample", "fields"), {"title": "Other"})) == set()
    assert prompt.digest == renamed.digest


@given(st.sampled_from(NAMES), st.integers(1, 140))
def test_shrinking_reaches_every_digest_once(name: str, max_chars: int) -> None:
    prompt = find_prompt(name, None)
    small = prompt.with_limits(max_field_chars=max_chars)
    assert moved(prompt, small) == set(digests(prompt))
    assert digests(small.with_limits(max_field_chars=max_chars)) == digests(small)
    assert all(a.max_tokens <= b.max_tokens for a, b in zip(small.stages, prompt.stages, strict=True))


def test_fields_that_no_template_reads_are_not_read() -> None:
    prompt = find_prompt("item_cot", None)
    without = changed(prompt, ("data",), "<data>{{ title }}</data>")
    assert without.variables == ("title",)
    assert all(without.reads(stage) == ("title",) for stage in without.stages)
    assert "price" not in prompt.variables
