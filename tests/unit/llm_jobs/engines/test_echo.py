import json
from pathlib import Path
from typing import Any

from featurestore.spec import Sampling
from llm_jobs.engine import Completion, Message, Request
from llm_jobs.engines.echo import EchoEngine, EchoOptions
from llm_jobs.parse import ParsedAnswer, parse_answer
from llm_jobs.prompt import load_prompt
from llm_jobs.render import conversation, data_block

_PROMPTS = Path(__file__).parents[4] / "prompts"


def _ask(engine: EchoEngine, text: str, schema: dict[str, Any] | None = None, seed: int = 0) -> Completion:
    sampling = Sampling(seed=seed)
    engine.submit([Request("k", (Message("user", text),), sampling, output_schema=schema)])
    (completion,) = engine.poll(1.0)
    return completion


def test_equal_prompts_get_equal_answers_and_others_do_not() -> None:
    texts = [_ask(EchoEngine(), text).text for text in ["tea", "tea", "coffee"]]
    assert texts[0] == texts[1] != texts[2]
    assert _ask(EchoEngine(), "tea", seed=1).text != texts[0]


def test_every_packaged_prompt_gets_a_valid_answer() -> None:
    paths = sorted(_PROMPTS.glob("*.toml"))
    assert paths
    for prompt in map(load_prompt, paths):
        fields = {**prompt.sample.fields, "events": prompt.sample.events}
        answers: dict[str, str] = {}
        for stage in prompt.stages:
            messages = conversation(prompt, stage, fields, answers)
            engine = EchoEngine()
            engine.submit([Request("k", messages, Sampling(), output_schema=stage.output_schema)])
            (completion,) = engine.poll(1.0)
            assert completion.text is not None
            parsed = parse_answer(completion.text, stage, source_text=data_block(prompt, fields))
            assert isinstance(parsed, ParsedAnswer), (prompt.name, stage.name, parsed)
            answers[stage.name] = parsed.canonical


def test_rates_choose_requests_repeatably() -> None:
    def outcomes(seed: int) -> list[str]:
        engine = EchoEngine(EchoOptions(failure_rate=0.3, gibberish_rate=0.3, seed=seed))
        completions = [_ask(engine, f"item {n}", {"type": "object", "properties": {}}) for n in range(100)]
        return [c.failure or ("json" if (c.text or "").startswith("{") else "gibberish") for c in completions]

    first = outcomes(1)
    assert first == outcomes(1) != outcomes(2)
    assert 15 <= first.count("engine_error") <= 45
    assert 8 <= first.count("gibberish") <= 35


def test_reasoning_comes_before_the_answer_without_its_opening_tag() -> None:
    engine = EchoEngine(EchoOptions(reasoning=("<think>", "</think>")))
    text = _ask(engine, "tea", {"type": "object", "properties": {"a": {"type": "string"}}}).text
    assert text is not None
    thoughts, _, answer = text.partition("</think>")
    assert "<think>" not in thoughts
    assert json.loads(answer).keys() == {"a"}


def test_latency_delays_completions() -> None:
    engine = EchoEngine(EchoOptions(latency_seconds=0.2))
    engine.submit([Request("k", (Message("user", "tea"),), Sampling())])
    assert engine.poll(0.01) == []
    assert [c.key for c in engine.poll(1.0)] == ["k"]


def test_a_hanging_request_ends_only_when_it_is_aborted() -> None:
    engine = EchoEngine(EchoOptions(hang_rate=0.5, seed=3))
    keys = [str(n) for n in range(40)]
    engine.submit([Request(key, (Message("user", key),), Sampling()) for key in keys])
    answered = {completion.key for completion in engine.poll(0.0)}
    hung = sorted(set(keys) - answered)
    assert 8 <= len(hung) <= 32
    assert engine.poll(0.05) == []
    engine.abort(hung)
    done = engine.poll(1.0)
    assert sorted(completion.key for completion in done) == hung
    assert {completion.failure for completion in done} == {"aborted"}
