"""Prompt files: what is read, what is refused, and with which words."""

from pathlib import Path
from typing import Any

import pytest

from featurestore.errors import ConfigError, UnknownNameError
from llm_jobs.catalog import prompt_path
from llm_jobs.prompt import Prompt, load_prompt, parse_prompt

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["note"],
    "properties": {"note": {"type": "string", "maxLength": 60}},
}


def make_prompt(**changes: Any) -> Prompt:
    """A two-stage prompt over items, changed where asked."""
    first = {"name": "first", "template": "What is it?", "output_schema": SCHEMA, "text_fields": ["note"]}
    second = {**first, "name": "second", "template": "And in {{ color }}?", "upstream": ["first"]}
    content = {
        "name": "tiny",
        "entity": "item",
        "description": "a prompt for tests",
        "system": "Describe.",
        "data": "<data>\ntitle: {{ title }}\n</data>",
        "stages": [first, second],
        "sample": {"fields": {"title": "Cup"}, "answers": {"first": {"note": "A"}, "second": {"note": "B"}}},
    }
    return Prompt.model_validate(content | changes)


def stage(**changes: Any) -> dict[str, Any]:
    base = {"name": "first", "template": "What?", "output_schema": SCHEMA, "text_fields": ["note"]}
    return base | changes


def problems_of(**changes: Any) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        make_prompt(**changes)
    return str(caught.value)


def test_reads_lists_what_each_conversation_needs() -> None:
    prompt = make_prompt()
    assert prompt.reads(prompt.stage("first")) == ("title",)
    assert prompt.reads(prompt.stage("second")) == ("color", "title")
    assert prompt.variables == ("color", "title")


def test_unknown_stage_lists_the_stages() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown stage of prompt tiny 'frist'. Did you mean 'first'"):
        make_prompt().stage("frist")


def test_max_tokens_default_to_the_longest_answer() -> None:
    assert make_prompt().stage("first").max_tokens == 60 // 3 + (2 + 4 + 6 + 2) // 2 + 16


def test_max_tokens_that_would_cut_an_answer_are_refused() -> None:
    said = problems_of(stages=[stage(max_tokens=10)])
    assert "max_tokens is 10; the longest answer needs 43" in said


def test_an_unbounded_schema_is_refused() -> None:
    schema = {**SCHEMA, "properties": {"note": {"type": "string"}}, "additionalProperties": True}
    said = problems_of(stages=[stage(output_schema=schema)])
    assert "output_schema.additionalProperties must be false" in said
    assert "output_schema.properties.note.maxLength must be a number of at least 1, got None" in said


def test_text_fields_must_be_of_the_answer() -> None:
    assert "text_fields name nope; the answer has note" in problems_of(stages=[stage(text_fields=["nope"])])


def test_stages_read_earlier_stages_only() -> None:
    said = problems_of(stages=[stage(upstream=["later"])])
    assert "stage 'first' reads 'later', which is no earlier stage" in said


def test_a_stage_must_hold_the_whole_conversation_it_continues() -> None:
    second = stage(name="second", upstream=["first"])
    third = stage(name="third", upstream=["second"])
    said = problems_of(stages=[stage(), second, third])
    assert "stage 'third' reads 'second' and must list first too" in said


def test_two_stages_of_one_name_are_refused() -> None:
    assert "two stages are called 'first'" in problems_of(stages=[stage(), stage()])


def test_the_system_text_reads_no_variables() -> None:
    assert "the system text is plain" in problems_of(system="Hello {{ title }}")


def test_a_broken_template_is_named() -> None:
    assert "the template is not valid Jinja" in problems_of(data="{{ title ")


def test_problems_of_a_file_are_in_our_own_words(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        prompt_path("item_cot", None)[0].read_text().replace("{{ title }}", "{{ title | nofilter }}")
    )
    with pytest.raises(ConfigError) as caught:
        load_prompt(path)
    assert caught.value.message.splitlines()[1:] == [
        "  - prompt: the template is not valid Jinja: No filter named 'nofilter'."
    ]


def test_events_need_a_history_section() -> None:
    said = problems_of(entity="user", data="{% for event in events %}{{ event.title }}{% endfor %}")
    assert "a template reads events, but there is no [history] section" in said


def test_a_history_is_for_users() -> None:
    assert "[history] is for prompts over users" in problems_of(history={"size": 5})


def test_sample_answers_every_stage() -> None:
    said = problems_of(sample={"fields": {}, "answers": {"first": {"note": "A"}, "third": {"note": "C"}}})
    assert "sample.answers lacks stage 'second'" in said
    assert "sample.answers has no stage 'third'" in said


def test_limits_for_fields_that_nobody_reads_are_refused() -> None:
    said = problems_of(field_tokens={"titel": 80})
    assert "field_tokens names 'titel', which no template reads" in said


def test_limits_are_the_defaults_unless_the_prompt_says_otherwise() -> None:
    prompt = make_prompt(data="{{ title }} {{ description }}", field_tokens={"title": 80})
    assert prompt.limits == {"title": 80, "description": 600, "color": 100}


def test_every_problem_of_a_file_is_listed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text('entity = "shop"\nsytem = "x"\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_prompt(path)
    said = str(caught.value)
    assert f"{path} is no usable prompt" in said
    for part in ("entity: Input should be 'item' or 'user'", "system: Field required", "sytem: Extra inputs"):
        assert part in said
    assert "featurestore prompts show item_cot" in said


def test_text_that_is_no_toml_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"here is not valid TOML: .*line 1"):
        parse_prompt("entity = \n", name="x", origin="here")


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes('description = "caf\xe9"'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin.toml cannot be read: 'utf-8' codec"):
        load_prompt(path)


def test_smaller_limits_shrink_every_answer_and_its_tokens() -> None:
    prompt = make_prompt()
    small = prompt.with_limits(max_field_chars=12)
    assert [s.output_schema["properties"]["note"]["maxLength"] for s in small.stages] == [12, 12]
    assert all(a.max_tokens < b.max_tokens for a, b in zip(small.stages, prompt.stages, strict=True))
    assert prompt.stage("first").output_schema == SCHEMA


def test_larger_limits_change_nothing() -> None:
    prompt = make_prompt()
    assert prompt.with_limits(max_field_chars=10_000, history_size=50) == prompt


def test_history_size_shrinks_only() -> None:
    prompt = make_prompt(entity="user", history={"size": 20})
    sizes = [prompt.with_limits(history_size=n).history for n in (5, 50)]
    assert [history.size for history in sizes if history] == [5, 20]
