"""What a plan foresees: tokens from a sample and from earlier answers, and how near that comes."""

from pathlib import Path

import pytest
from generation_world import CountingEngine, catalogue, item_cot, put_items, run

from featurestore.jobs.runcard import list_runs, read_run_card
from featurestore.stores.memory import MemoryStore
from llm_jobs.engines.echo import EchoOptions
from llm_jobs.estimate import PRIOR_SHARE
from llm_jobs.forecast import Forecast, forecast
from llm_jobs.models import find_model, model_spec
from llm_jobs.plan import plan_generation
from llm_jobs.specs import stage_specs
from llm_jobs.spending import Spending


def _foresee(store: MemoryStore, *, wording: str | None = None, limit: int | None = None) -> Forecast:
    entry, prompt = find_model("echo", {}), item_cot(wording)
    specs = stage_specs(prompt, entry, model_spec(entry))
    plan = plan_generation(store, prompt, specs, limit=limit)
    return forecast(store, prompt, specs, plan, entry=entry, spending=Spending(3600.0))


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    put_items(store, catalogue(60))
    return store


def test_a_complete_store_takes_nothing(store: MemoryStore, tmp_path: Path) -> None:
    run(store, tmp_path)
    found = _foresee(store)
    assert (found.tokens.total, found.seconds, found.cost) == (0, 0.0, 0.0)


def test_without_earlier_answers_the_prior_is_a_stated_share(store: MemoryStore) -> None:
    found = _foresee(store, limit=10)
    allowed = [stage.max_tokens for stage in item_cot().stages]
    assert [stage.output for stage in found.tokens.stages] == [round(10 * PRIOR_SHARE * n) for n in allowed]
    assert found.tokens.output_at_most == 10 * sum(allowed)
    assert {stage.basis for stage in found.tokens.stages} == {"50% of what it may take: no earlier answers"}
    assert (found.speed, found.seconds, found.cost) == (None, None, None)
    assert 0 < found.tokens.cached < found.tokens.prompt


def test_later_stages_hold_the_earlier_answers(store: MemoryStore) -> None:
    forward, backward, fused = _foresee(store, limit=10).tokens.stages
    answer = PRIOR_SHARE * item_cot().stages[0].max_tokens
    assert backward.prompt / 10 > forward.prompt / 10 + answer
    assert fused.prompt / 10 > backward.prompt / 10 + PRIOR_SHARE * item_cot().stages[1].max_tokens


def test_thoughts_are_written_and_not_read_again(store: MemoryStore) -> None:
    """A reasoning model pays for its thoughts once: later prompts hold its answers only."""
    entry, prompt = find_model("echo", {}), item_cot()
    plain = stage_specs(prompt, entry, model_spec(entry))
    thinking = [
        spec.model_copy(
            update={
                "model": spec.model.model_copy(update={"reasoning_close": "</think>"}),
                "sampling": spec.sampling.model_copy(update={"max_tokens": spec.sampling.max_tokens + 1000}),
            }
        )
        for spec in plain
    ]
    found = [
        forecast(store, prompt, specs, plan_generation(store, prompt, specs), entry=entry).tokens
        for specs in (plain, thinking)
    ]
    assert found[1].output == found[0].output + 60 * 3 * PRIOR_SHARE * 1000
    assert found[1].prompt == pytest.approx(found[0].prompt, rel=0.01)
    assert 0 < found[1].cached < found[0].cached, "the prefix ends where the thoughts were"


def test_a_second_disjoint_batch_is_foreseen_within_15_percent(store: MemoryStore, tmp_path: Path) -> None:
    run(store, tmp_path, limit=30)
    report = run(store, tmp_path, limit=30)
    assert report.num_chains == 30
    card = read_run_card(store, list_runs(store)[-1])
    assert card.planned == report.planned
    assert card.plan_errors.keys() >= {"prompt_tokens", "output_tokens", "tokens", "seconds"}
    assert abs(card.plan_errors["tokens"]) <= 0.15
    assert abs(card.plan_errors["prompt_tokens"]) <= 0.15
    assert abs(card.plan_errors["output_tokens"]) <= 0.15
    told = report.as_dict()["plan_errors"]
    assert {name: told[name] for name in ("tokens", "cached_tokens")} == {
        name: card.plan_errors[name] for name in ("tokens", "cached_tokens")
    }


def test_the_first_batch_was_foreseen_too_but_not_its_seconds(store: MemoryStore, tmp_path: Path) -> None:
    report = run(store, tmp_path, limit=30)
    assert report.planned is not None
    assert report.planned.seconds is None
    second = _foresee(store)
    assert second.speed is not None
    assert second.speed.engine == "echo-1-cpu"
    assert second.cost == pytest.approx(second.seconds)


def test_answers_that_are_asked_for_again_are_foreseen(store: MemoryStore, tmp_path: Path) -> None:
    run(store, tmp_path, CountingEngine(EchoOptions(gibberish_rate=0.3)), limit=30)
    forward, _, fused = _foresee(store).tokens.stages
    assert forward.requests > 1.1 * forward.rows
    assert fused.requests < forward.requests, "some chains failed before their last stage"


def test_another_version_by_the_same_model_tells_the_length(store: MemoryStore, tmp_path: Path) -> None:
    run(store, tmp_path, limit=30)
    reworded = _foresee(store, wording="Say it in one line.", limit=30)
    bases = {stage.stage: stage.basis for stage in reworded.tokens.stages}
    assert bases["fused"] == "30 rows of another version by this model"


def test_a_last_question_asked_alone_finds_the_system_text_in_the_cache_and_no_more(
    store: MemoryStore, tmp_path: Path
) -> None:
    """The conversation in front was computed by a run that is over: its cache went with it."""
    whole = {stage.stage: stage.cached / stage.prompt for stage in _foresee(store).tokens.stages}
    run(store, tmp_path, limit=30)
    (alone,) = _foresee(store, wording="Say it in one line.", limit=30).tokens.stages
    assert alone.stage == "fused"
    assert whole["fused"] > 0.8
    assert 0 < alone.cached / alone.prompt < 0.3
    mixed = _foresee(store, wording="Say it in one line.").tokens.stages[-1]
    assert alone.cached / alone.prompt < mixed.cached / mixed.prompt < whole["fused"]


def test_the_sample_is_the_same_each_time(store: MemoryStore) -> None:
    put_items(store, catalogue(300))
    assert _foresee(store) == _foresee(store)
    assert _foresee(store).tokens.num_sampled == 128
