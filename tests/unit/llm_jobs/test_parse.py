"""Raw outputs to answers: reasoning in every shape it comes in, JSON wherever it stands, quotes looked up."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.catalog import find_prompt
from llm_jobs.parse import ParsedAnswer, ParseFailure, SplitOutput, parse_answer, split_reasoning
from llm_jobs.prompt import Stage
from llm_jobs.render import data_block

TAGS = ("<think>", "</think>")
STAGE = Stage(
    name="fused",
    template="?",
    output_schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["reasoning", "feature"],
        "properties": {
            "reasoning": {"type": "string", "maxLength": 60},
            "feature": {"type": "string", "maxLength": 30},
        },
    },
    text_fields=("feature",),
)
ANSWER = {"reasoning": "It is a cup.", "feature": "Small cup"}
GOOD = json.dumps(ANSWER)


def parsed(text: str, tags: tuple[str, str] | None = None) -> ParsedAnswer:
    result = parse_answer(text, STAGE, tags)
    assert isinstance(result, ParsedAnswer), result
    return result


def failed(text: str, tags: tuple[str, str] | None = None) -> tuple[str, str]:
    result = parse_answer(text, STAGE, tags)
    assert isinstance(result, ParseFailure), result
    return result.reason, result.detail


@pytest.mark.parametrize(
    ("output", "reasoning"),
    [
        (f"<think>\nA cup?\n</think>\n\n{GOOD}", "A cup?"),
        (f"\nA cup?\n</think>\n\n{GOOD}", "A cup?"),
        (f"<think>\n\n</think>\n\n{GOOD}", None),
        (f"</think>{GOOD}", None),
        (
            f'I could say {{"feature": "x"}} first.</think>```json\n{GOOD}\n```',
            'I could say {"feature": "x"} first.',
        ),
    ],
)
def test_thoughts_are_split_off_whoever_opened_them(output: str, reasoning: str | None) -> None:
    answer = parsed(output, TAGS)
    assert answer.text == "Small cup"
    assert answer.reasoning == reasoning


@pytest.mark.parametrize("output", ["<think>\nA cup, so", "A cup, so", GOOD, f"<think>{GOOD}"])
def test_thoughts_that_never_end_are_a_failure(output: str) -> None:
    reason, detail = failed(output, TAGS)
    assert reason == "cut_off"
    assert detail == "the output never closes its reasoning with </think>"


def test_thoughts_without_an_answer_are_a_failure() -> None:
    assert failed("<think>A cup.</think>", TAGS)[0] == "no_json"


@pytest.mark.parametrize("tag", ["<think>", "</think>", "</ THINK >", "<reasoning>"])
@pytest.mark.parametrize("tags", [TAGS, None])
def test_an_answer_that_mentions_a_tag_is_never_stored(tag: str, tags: tuple[str, str] | None) -> None:
    answer = json.dumps({"reasoning": "ok", "feature": f"cup {tag} x"})
    reason, detail = failed(f"A cup.</think>{answer}" if tags else answer, tags)
    assert reason == "think_leak"
    assert detail == "the answer holds a reasoning tag"


@given(st.text(max_size=60), st.text(max_size=60))
def test_splitting_keeps_every_word_on_its_side(before: str, after: str) -> None:
    if "</think>" in before:
        return
    split = split_reasoning(f"{before}</think>{after}", *TAGS)
    assert isinstance(split, SplitOutput)
    assert split.answer == after.strip()
    assert (split.reasoning or "") == before.strip().removeprefix("<think>").strip()


DRAFT = json.dumps({"reasoning": "SECRET draft", "feature": "SECRET cup"})
PIECES = ["A cup? ", "SECRET ", "\n\n", "<think>", "</thinking>", DRAFT, "{", '"}', "```"]
CLOSES = ["</think>", 'the "</think>" tag ']
THOUGHTS = st.lists(st.sampled_from(PIECES + CLOSES), max_size=8).map("".join)
OPEN_THOUGHTS = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


@given(
    THOUGHTS,
    st.sampled_from(["<think>", "<think>\n", "", "\n  "]),
    st.sampled_from(["", "\n", " \n\n"]),
    st.booleans(),
)
def test_whatever_is_thought_the_answer_is_right_or_there_is_none(
    thoughts: str, opening: str, space: str, declared: bool
) -> None:
    """The thoughts speak of tags, close them several times, hold drafts of the answer: none may be stored."""
    output = f"{opening}{thoughts}{space}</think>{space}{GOOD}{space}"
    result = parse_answer(output, STAGE, TAGS if declared else None)
    assert isinstance(result, ParsedAnswer), result
    assert result.answer == ANSWER


@given(OPEN_THOUGHTS, OPEN_THOUGHTS, st.integers(0, 400))
def test_an_output_that_is_cut_or_thinks_again_never_leaks_its_thoughts(
    before: str, after: str, length: int
) -> None:
    whole = f"<think>{before}</think>{GOOD}<think>{after}"
    for output in (whole, whole[:length], f"{before}</think><think>{after}", f"{before}<think>{after}"):
        result = parse_answer(output, STAGE, TAGS)
        if isinstance(result, ParsedAnswer):
            assert result.answer == ANSWER


def test_a_model_that_thinks_without_having_been_declared_to_is_split_too() -> None:
    answer = parsed(f"<think>Perhaps {DRAFT}?</think>\n{GOOD}")
    assert (answer.text, answer.reasoning) == ("Small cup", f"Perhaps {DRAFT}?")


@pytest.mark.parametrize(
    "output",
    [
        f"A cup.</think>{GOOD}</think>",
        f"A cup.</think><think>Once more: {DRAFT}",
        f"<think>A cup.</think>{GOOD[:20]}</think>",
        'A cup.</think>{"reasoning": "It uses the <think> tag", "feature": "cup"}',
        'A cup.</think>{"reasoning": "It uses the </think> tag", "feature": "cup"}',
    ],
)
def test_a_tag_that_comes_again_is_a_typed_failure(output: str) -> None:
    assert failed(output, TAGS) == ("think_leak", "the answer holds a reasoning tag")


@pytest.mark.parametrize(
    "output",
    [
        GOOD,
        f"  {GOOD}\n\nI hope this helps {{smile}}!",
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n``` Done.",
        f"Sure! Here it is: {GOOD}",
        f"The form is {{...}}, so: {GOOD}",
        f'First {{"draft": 1}}, better {GOOD}',
        json.dumps(ANSWER, indent=2),
        '{"feature": "Small cup", "reasoning": "It is\na cup."}',
    ],
)
def test_the_answer_is_found_wherever_it_stands(output: str) -> None:
    assert parsed(output).text == "Small cup"


def test_answers_are_canonical_and_in_schema_order() -> None:
    answer = parsed('{"feature": " Cafe\u0301\u0000 ", "reasoning": "x"}')
    assert list(answer.answer) == ["reasoning", "feature"]
    assert answer.answer["feature"] == "Café"
    assert answer.canonical == '{"feature":"Café","reasoning":"x"}'


def test_lone_surrogates_and_template_tokens_do_not_reach_the_store() -> None:
    answer = parsed('{"feature": "cup \\ud800 <|im_end|>", "reasoning": "x"}')
    assert answer.text == "cup"
    answer.canonical.encode()


@pytest.mark.parametrize(
    ("output", "reason", "said"),
    [
        ("", "no_json", "no JSON object in ''"),
        ("I cannot help with that.", "no_json", "no JSON object in 'I cannot help with that.'"),
        ("[1, 2]", "no_json", "no JSON object in '[1, 2]'"),
        (GOOD[:-8], "cut_off", "the JSON object begins but never ends"),
        (GOOD[:-1], "cut_off", "the JSON object begins but never ends"),
        ('{"reasoning": "x"}', "schema", "feature: Field required"),
        (
            json.dumps({**ANSWER, "feature": "c" * 31}),
            "schema",
            "feature: String should have at most 30 char",
        ),
        (json.dumps({**ANSWER, "extra": 1}), "schema", "extra: Extra inputs are not permitted"),
        (json.dumps({**ANSWER, "feature": 7}), "schema", "feature: Input should be a valid string"),
        (json.dumps({**ANSWER, "feature": " - "}), "empty_text", "feature hold no words"),
        ("{" * 5_000, "no_json", "no JSON object"),
        ('{"a":' * 5_000, "no_json", "no JSON object"),
    ],
)
def test_what_is_no_answer_has_a_typed_reason(output: str, reason: str, said: str) -> None:
    found, detail = failed(output)
    assert found == reason
    assert said in detail


@given(st.text(max_size=400))
def test_no_output_breaks_the_parser(output: str) -> None:
    for tags in (None, TAGS):
        assert isinstance(parse_answer(output, STAGE, tags), ParsedAnswer | ParseFailure)


class TestQuotes:
    prompt = find_prompt("item_semantic_id", None)
    stage = prompt.stages[0]
    source = data_block(prompt, {"title": "Beard Oil", "description": "It\u2019s  a light oil\nof jojoba."})

    def reason(self, *quotes: str) -> str | None:
        steps = [{"quote": quote, "characteristic": "shows"} for quote in quotes]
        output = json.dumps({"CoT": steps, "keywords": ["oil"]})
        result = parse_answer(output, self.stage, source_text=self.source)
        return result.reason if isinstance(result, ParseFailure) else None

    @pytest.mark.parametrize(
        "quote", ["Beard Oil", "beard oil.", '"a light oil"', "It's a  light oil of jojoba", "light oil of…"]
    )
    def test_quotes_may_differ_in_case_space_and_quotation_marks(self, quote: str) -> None:
        assert self.reason(quote) is None

    @pytest.mark.parametrize("quote", ["cedar oil", "None", "Beard and Oil", "..", "oil jojoba"])
    def test_an_invented_quote_is_refused(self, quote: str) -> None:
        assert self.reason("Beard Oil", quote) == "quote_not_found"

    def test_the_failure_names_the_quote(self) -> None:
        output = '{"CoT": [{"quote": "cedar oil", "characteristic": "x y"}], "keywords": ["oil"]}'
        result = parse_answer(output, self.stage, source_text=self.source)
        assert result == ParseFailure("quote_not_found", "CoT.quote 'cedar oil' is not in the input")

    def test_without_a_source_nothing_is_looked_up(self) -> None:
        output: dict[str, Any] = {
            "CoT": [{"quote": "cedar", "characteristic": "woody"}],
            "keywords": ["a1", "b2"],
        }
        result = parse_answer(json.dumps(output), self.stage)
        assert isinstance(result, ParsedAnswer)
        assert result.text == "cedar: woody\na1, b2"
