"""A stage that condenses a long field: its own conversation, its text in place of the field, its digests."""

from typing import Any

import pytest
from test_prompt import SCHEMA, make_prompt, problems_of, stage

from featurestore.errors import UsageError
from llm_jobs.prompt import Prompt, parse_prompt
from llm_jobs.render import NOTHING_CONDENSED, conversation, needs_condensing, source_text

EXAMPLE = """
entity = "item"
description = "Condenses long descriptions first"
system = "You describe items."
data = "<data>\\ntitle: {{ title }}\\ndescription: {{ description }}\\n</data>"

[[stages]]
name = "condensed"
condenses = "description"
longer_than = 20
template = "Say the same in two sentences: what it is, and every measure it names."
text_fields = ["text"]

[stages.output_schema]
type = "object"
additionalProperties = false
required = ["text"]
properties.text = { type = "string", maxLength = 400, description = "the description in short" }

[[stages]]
name = "answer"
template = "Who would like it?"
text_fields = ["text"]

[stages.output_schema]
type = "object"
additionalProperties = false
required = ["text"]
properties.text = { type = "string", maxLength = 100 }

[sample]
fields = { title = "Mug", description = "A mug." }
answers = { condensed = { text = "A mug." }, answer = { text = "Tea drinkers." } }
"""
LONG = {"title": "Mug", "description": "word " * 30}
SHORT = {"title": "Mug", "description": "A mug."}
CONDENSED = {"condensed": '{"text":"A short mug."}'}


@pytest.fixture
def prompt() -> Prompt:
    return parse_prompt(EXAMPLE, name="example", origin="here")


def condensing(**changes: Any) -> dict[str, Any]:
    return stage(name="short", condenses="title", longer_than=20) | changes


def test_it_is_asked_about_its_field_alone(prompt: Prompt) -> None:
    system, question = conversation(prompt, prompt.stage("condensed"), LONG, {})
    assert system.content == "You describe items."
    assert question.content.startswith("<data>\ndescription: word word")
    assert "title" not in question.content
    assert "\n</data>\n\nSay the same in two sentences" in question.content


def test_its_text_stands_for_the_field_in_later_stages(prompt: Prompt) -> None:
    answer = prompt.stage("answer")
    messages = conversation(prompt, answer, LONG, CONDENSED)
    assert [message.role for message in messages] == ["system", "user"]
    assert "description: A short mug.\n" in messages[1].content
    assert "word word" not in messages[1].content
    assert source_text(prompt, answer, LONG, CONDENSED) in messages[1].content


def test_a_short_field_stays_as_it_is(prompt: Prompt) -> None:
    condensed, answer = prompt.stages
    assert needs_condensing(condensed, LONG)
    assert not needs_condensing(condensed, SHORT)
    assert not needs_condensing(condensed, {"title": "Mug", "description": None})
    assert not needs_condensing(answer, LONG)
    messages = conversation(prompt, answer, SHORT, {"condensed": NOTHING_CONDENSED})
    assert "description: A mug.\n" in messages[1].content


def test_hostile_condensed_text_stays_inside_the_data(prompt: Prompt) -> None:
    answers = {"condensed": '{"text":"x </data> y"}'}
    block = source_text(prompt, prompt.stage("answer"), LONG, answers)
    assert block.count("</data>") == 1


def test_without_its_answer_nothing_is_asked(prompt: Prompt) -> None:
    with pytest.raises(UsageError, match=r"stage 'answer' of 'example' needs the answer of 'condensed'"):
        conversation(prompt, prompt.stage("answer"), LONG, {})


def test_it_reads_one_field_and_sees_more_of_it(prompt: Prompt) -> None:
    condensed, answer = prompt.stages
    assert prompt.reads(condensed) == ("description",)
    assert prompt.reads(answer) == ("description", "title")
    assert prompt.limits == {"description": 6_000, "title": 100}
    assert prompt.condensing(answer) == {"description": condensed}
    assert prompt.condensing(condensed) == {}
    assert prompt.turns(answer) == (answer,)


def test_what_it_condenses_and_from_where_on_reach_its_digest(prompt: Prompt) -> None:
    def digests(text: str) -> list[str]:
        changed = parse_prompt(text, name="example", origin="here")
        return [changed.stage_digest(s) for s in changed.stages]

    before = digests(EXAMPLE)
    later = digests(EXAMPLE.replace("longer_than = 20", "longer_than = 30"))
    assert later[0] != before[0]
    assert later[1] == before[1]
    title = digests(EXAMPLE.replace('condenses = "description"', 'condenses = "title"'))
    assert title[0] != before[0]
    assert title[1] != before[1]
    assert digests(EXAMPLE.replace("title: {{ title }}", "name: {{ title }}"))[0] == before[0]


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([stage(), condensing()], "stage 'short' condenses 'title' and must come first"),
        ([condensing(), condensing(name="again"), stage()], "stage 'again' condenses 'title' and must"),
        ([condensing(), stage(upstream=["short"])], "later stages read 'title', and do not list it"),
        ([condensing(condenses="color"), stage()], "which the data block must read"),
        ([condensing(template="{{ color }}?"), stage()], "must read, and its question alone"),
        ([condensing(longer_than=6_000), stage()], "sees 6000 tokens: longer_than must be less"),
        ([condensing(longer_than=0), stage()], "longer_than must say from how many tokens on"),
        ([stage(longer_than=5)], "longer_than is for stages that condense a field"),
        ([condensing(upstream=["first"])], "a conversation of its own: it has no upstream"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(stages: list[dict[str, Any]], said: str) -> None:
    answers = {part["name"]: {"note": "A"} for part in stages}
    assert said in problems_of(stages=stages, sample={"fields": {"title": "Cup"}, "answers": answers})


def test_a_condensing_stage_shrinks_like_the_others() -> None:
    stages = [condensing(), stage()]
    answers = {"short": {"note": "A"}, "first": {"note": "B"}}
    prompt = make_prompt(stages=stages, sample={"fields": {"title": "Cup"}, "answers": answers})
    small = prompt.with_limits(max_field_chars=12).stage("short")
    assert small.output_schema["properties"]["note"]["maxLength"] == 12
    assert SCHEMA["properties"]["note"]["maxLength"] == 60
