import json
from dataclasses import replace
from pathlib import Path

import pytest
from generation_world import LENIENT, PROMPTS, catalogue, item_cot, put_items, rows_of, run, table_of
from gullible_engine import GullibleEngine
from test_condensing import EXAMPLE

from featurestore.errors import MissingIdsError, UnknownNameError, UsageError
from featurestore.stores.memory import MemoryStore
from llm_jobs.chain import ChainLimits
from llm_jobs.engine import Completion, LLMEngine
from llm_jobs.engines import OpenModel
from llm_jobs.engines.echo import EchoEngine, EchoOptions
from llm_jobs.models import find_model, model_spec
from llm_jobs.plain_text import build_plain_texts
from llm_jobs.prompt import Prompt, load_prompt, parse_prompt
from llm_jobs.redteam_world import PlacedText, build_world
from llm_jobs.replay import Replay, find_written_row, replay


class RewordingEngine(EchoEngine):
    """Adds a word to every text."""

    def poll(self, timeout: float) -> list[Completion]:
        return [replace(done, text=_reworded(done.text)) for done in super().poll(timeout)]


def _reworded(text: str | None) -> str:
    answer = json.loads(text or "")
    return json.dumps({name: f"{value[:140]} indeed" for name, value in answer.items()})


def _store(size: int = 4) -> MemoryStore:
    store = MemoryStore()
    put_items(store, catalogue(size))
    return store


def _replay(
    store: MemoryStore,
    entity_id: str = "i001",
    view: str = "fused",
    engine: LLMEngine | None = None,
    prompt: Prompt | None = None,
) -> Replay:
    entry = find_model("echo", {})
    model = OpenModel(entry, model_spec(entry), engine or EchoEngine())
    chosen = prompt or item_cot()
    return replay(store, find_written_row(store, chosen.name, view, entity_id), chosen, model)


@pytest.mark.parametrize("view", ["forward", "backward", "fused"])
def test_the_same_question_gets_the_same_answer(tmp_path: Path, view: str) -> None:
    store = _store()
    run(store, tmp_path)
    before = {table: store.latest(table) for table in store.tables()}
    done = _replay(store, view=view)
    assert (done.verdict, done.similarity) == ("equal", 1.0)
    assert done.same_inputs
    assert done.same_request is True
    assert done.changed_fields == ()
    assert done.now["engine"] == done.then.values["engine"]
    assert done.now["request_key"] == done.then.values["request_key"]
    assert {table: store.latest(table) for table in store.tables()} == before


def test_a_row_that_was_asked_again_is_asked_again_in_the_same_way(tmp_path: Path) -> None:
    """The rejected answer is part of the second conversation, and is drawn anew to be shown."""
    store, options = _store(20), EchoOptions(gibberish_rate=0.4)
    run(store, tmp_path, EchoEngine(options), limits=replace(LENIENT, max_attempts=3))
    rows = rows_of(store, "forward")
    again = [i for i, row in rows.items() if row["attempts"] > 1 and row["status"] == "ok"]
    assert len(again) >= 3
    for entity_id in again[:3]:
        done = _replay(store, entity_id, "forward", EchoEngine(options))
        assert done.verdict == "equal"
        assert done.same_request is None
        assert done.now["request_key"] == done.then.values["request_key"]


def test_a_row_of_a_later_run_is_drawn_with_its_own_seed(tmp_path: Path) -> None:
    store, once = _store(), ChainLimits(max_attempts=1, skip_budget=1.0)
    run(store, tmp_path, EchoEngine(EchoOptions(gibberish_rate=1.0)), limits=once)
    run(store, tmp_path, only_failed=True, limits=once)
    assert rows_of(store, "forward")["i001"]["attempts"] == 2
    done = _replay(store, view="forward")
    assert done.verdict == "equal"
    assert done.same_request is True
    assert done.now["attempts"] == 2


def test_changed_inputs_are_named(tmp_path: Path) -> None:
    store = _store()
    run(store, tmp_path)
    put_items(store, {**catalogue(4), "i001": {"title": "Toaster", "brand": "Acme"}})
    done = _replay(store)
    assert not done.same_inputs
    assert done.changed_fields == ("title",)
    assert done.same_request is False
    assert done.verdict == "different"
    # The stages before are taken as they are stored: only this one was asked.
    assert done.then.values["text"] == rows_of(store, "fused")["i001"]["text"]


def test_another_engine_may_come_near_or_differ(tmp_path: Path) -> None:
    store = _store()
    run(store, tmp_path)
    near = _replay(store, engine=RewordingEngine())
    assert near.verdict == "near"
    assert 0.8 <= near.similarity < 1.0
    different = _replay(store, engine=GullibleEngine())
    assert different.verdict == "different"
    assert different.same_request is True
    assert different.now["engine"] == "gullible-1-cpu"
    assert different.then.values["engine"] == "echo-1-cpu"


def test_failures_are_compared_by_their_reason(tmp_path: Path) -> None:
    store, gibberish = _store(), EchoOptions(gibberish_rate=1.0)
    run(store, tmp_path, EchoEngine(gibberish))
    same = _replay(store, view="forward", engine=EchoEngine(gibberish))
    assert (same.verdict, same.similarity) == ("equal", -1.0)
    assert same.now["reason"] == "no_json"
    assert _replay(store, view="forward").verdict == "different"
    with pytest.raises(
        UsageError, match=r"no model was asked for 'i001' in item_cot\.fused: upstream_failed"
    ):
        _replay(store)


def test_another_spec_is_refused_by_its_parts(tmp_path: Path) -> None:
    store = _store()
    run(store, tmp_path)
    with pytest.raises(UsageError, match=r"item_cot\.fused was written under another spec") as caught:
        _replay(store, prompt=item_cot("Which attributes decide?"))
    assert "  - prompt_digest: " in caught.value.message
    assert "output_schema" not in caught.value.message
    shorter = item_cot().with_limits(max_field_chars=40)
    with pytest.raises(UsageError, match=r"output_schema\.properties\.feature\.maxLength: 150 then, 40 now"):
        _replay(store, prompt=shorter)


def test_a_later_stage_is_not_asked(tmp_path: Path) -> None:
    store = _store()
    run(store, tmp_path)
    engine = GullibleEngine()
    _replay(store, view="backward", engine=engine)
    assert len(engine.requests) == 1


def test_what_no_model_wrote_cannot_be_asked_again(tmp_path: Path) -> None:
    store = _store()
    build_plain_texts(store)
    with pytest.raises(UsageError, match=r"item_text\.text was not written by a model"):
        find_written_row(store, "item_text", None, "i001")
    with pytest.raises(UnknownNameError, match="unknown text feature 'item_cot'"):
        find_written_row(store, "item_cot", None, "i001")
    run(store, tmp_path)
    with pytest.raises(MissingIdsError, match="'absent'"):
        _replay(store, "absent")


def test_a_users_events_are_inputs_too(tmp_path: Path) -> None:
    prompt = load_prompt(PROMPTS / "user_cot.toml")
    store = build_world(prompt, [PlacedText(f"u{n}", "title", f"Kettle {n}", n) for n in range(3)])
    run(store, tmp_path, prompt=prompt)
    done = _replay(store, "u1", "fused", prompt=prompt)
    assert (done.verdict, done.same_inputs, done.same_request) == ("equal", True, True)
    items = store.read("source.items").to_pylist()
    changed = [{**row, "title": "Toaster"} if row["item_id"] == "u1-1" else row for row in items]
    put_items(store, {row["item_id"]: row for row in changed})
    done = _replay(store, "u1", "fused", prompt=prompt)
    assert done.changed_fields == ("events",)


def test_a_stage_that_is_gone_is_named(tmp_path: Path) -> None:
    store = _store()
    run(store, tmp_path)
    store.delete(table_of("forward", item_cot()), ["i001"], key="id")
    with pytest.raises(MissingIdsError, match=r"text\.item_cot\.forward\."):
        _replay(store)


def test_a_condensed_field_is_taken_as_it_is_stored(tmp_path: Path) -> None:
    prompt = parse_prompt(EXAMPLE, name="example", origin="here")
    store = MemoryStore()
    long = " ".join(f"word{n}" for n in range(40))
    put_items(store, {"long": {"title": "Mug", "description": long}, "short": {"title": "Cup"}})
    run(store, tmp_path, prompt=prompt)
    for entity_id in ("long", "short"):
        done = _replay(store, entity_id, "answer", prompt=prompt)
        assert (done.verdict, done.same_inputs, done.same_request) == ("equal", True, True)
    assert _replay(store, "long", "condensed", prompt=prompt).verdict == "equal"
    with pytest.raises(UsageError, match=r"no model was asked for 'short' in example\.condensed"):
        _replay(store, "short", "condensed", prompt=prompt)
