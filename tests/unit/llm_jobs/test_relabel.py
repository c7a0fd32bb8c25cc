"""Texts of users: training events only, and the name of the split they belong to now."""

from pathlib import Path

import pytest
from generation_world import PROMPTS, STAGES, CountingEngine, catalogue, put_events, put_items, rows_of, run

from featurestore.gates.policy import GatePolicy
from featurestore.releases.publish import publish
from featurestore.stores.memory import MemoryStore
from llm_jobs.prompt import load_prompt

EVENTS = [("u1", f"i00{n}", n) for n in range(5)] + [("u2", f"i00{n}", n) for n in range(4)]


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    put_items(store, catalogue(10))
    return store


def test_user_texts_read_training_events_and_name_them(store: MemoryStore, tmp_path: Path) -> None:
    event_set = put_events(store, EVENTS, "u9")
    user_cot = load_prompt(PROMPTS / "user_cot.toml")
    engine = CountingEngine()
    report = run(store, tmp_path, engine, user_cot)
    assert report.requests == 6
    rows = rows_of(store, "fused", "user_cot")
    assert rows["u1"]["event_set"] == event_set
    assert rows["u1"]["events_digest"]
    assert rows_of(store, "forward", "user_cot")["u9"]["reason"] == "no_input"
    asked = "\n".join(message.content for request in engine.requests for message in request.messages)
    assert "Kettle number 2" in asked
    assert "Kettle number 4" not in asked


def test_unchanged_events_take_the_name_of_a_new_split_without_a_request(
    store: MemoryStore, tmp_path: Path
) -> None:
    user_cot = load_prompt(PROMPTS / "user_cot.toml")
    event_set = put_events(store, EVENTS, "u9")
    run(store, tmp_path, None, user_cot)
    rows = rows_of(store, "fused", "user_cot")
    new_set = put_events(store, [*EVENTS, ("u2", "i009", 9)], "u9")
    assert new_set != event_set
    second = run(store, tmp_path, CountingEngine(), user_cot)
    # What this user reads now is what another one read before: the answers are known.
    assert (second.requests, second.reused, second.relabelled) == (0, 3, 6)
    for view in STAGES:
        assert {row["event_set"] for row in rows_of(store, view, "user_cot").values()} == {new_set}
    assert rows_of(store, "fused", "user_cot")["u1"] == rows["u1"] | {"event_set": new_set}
    assert run(store, tmp_path, CountingEngine(), user_cot).relabelled == 0
    lenient = GatePolicy(max_failure_rate=1.0, max_duplicate_text_share=1.0)
    assert publish(store, gates=lenient).manifest.number == 1
