from typing import Any

from generation_world import item_cot

from llm_jobs.engine import Request
from llm_jobs.models import find_model, model_spec
from llm_jobs.prompt import Prompt
from llm_jobs.requests import RequestBuilder
from llm_jobs.specs import stage_specs

_FIELDS = {"title": "Kettle", "brand": None, "categories": None, "description": None}
_ANSWER = '{"reasoning":"It boils.","summarization":"Tea drinkers."}'


def _request(
    stage: int = 1,
    *,
    fields: dict[str, Any] = _FIELDS,
    answer: str = _ANSWER,
    sample_index: int = 0,
    engine: str = "echo-1-cpu",
    alias: str = "echo",
    prompt: Prompt | None = None,
    temperature: float = 0.0,
) -> Request:
    prompt = prompt or item_cot()
    entry = find_model(
        alias, {"echo": {"sampling": {"temperature": temperature}}, "b": {"repo": "b", **_OWN}}
    )
    builder = RequestBuilder(prompt, stage_specs(prompt, entry, model_spec(entry)), engine)
    answers = {"forward": answer}
    return builder.build(stage, fields, answers, sample_index=sample_index, continues=None)


_OWN = {"engine": "echo", "context": 4096, "memory_gib": 0.0, "disk_gib": 0.0}


def test_equal_questions_have_equal_keys() -> None:
    assert _request() == _request()


def test_whatever_can_change_the_answer_changes_the_key() -> None:
    variants = [
        _request(),
        _request(0),
        _request(fields={**_FIELDS, "title": "Teapot"}),
        _request(answer=_ANSWER.replace("Tea", "Coffee")),
        _request(sample_index=1),
        _request(engine="echo-2-cpu"),
        _request(alias="b"),
        _request(temperature=0.5),
        _request(prompt=item_cot().with_limits(max_field_chars=30)),
    ]
    assert len({request.key for request in variants}) == len(variants)


def test_another_sample_has_another_seed_and_the_same_conversation() -> None:
    first, second = _request(), _request(sample_index=1)
    assert first.messages == second.messages
    assert second.sampling.seed == first.sampling.seed + 1


def test_later_stages_go_first() -> None:
    assert _request(1).priority < _request(0).priority
