"""Which outdated texts of users wait, which do not, and what a release may still make of those that wait."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from generation_world import PROMPTS, CountingEngine, catalogue, put_events, put_items, rows_of, run
from hypothesis import given
from hypothesis import strategies as st

from featurestore.jobs.runcard import new_run_id
from featurestore.stores.memory import MemoryStore
from llm_jobs.due import DuePolicy, changed_share, written_at
from llm_jobs.prompt import Prompt, load_prompt

HALF = DuePolicy(min_changed_share=0.5)
FEW, MANY = "u1", "u2"
EVENTS = [(user, f"i00{n}", n) for user in (FEW, MANY) for n in range(6 if user == FEW else 3)]
"""After leave-one-out four items of the one train, and one of the other."""


@pytest.fixture
def prompt() -> Prompt:
    return load_prompt(PROMPTS / "user_cot.toml")


@pytest.fixture
def store(tmp_path: Path, prompt: Prompt) -> MemoryStore:
    store = MemoryStore()
    put_items(store, catalogue(10))
    put_events(store, EVENTS)
    run(store, tmp_path, None, prompt)
    return store


def _one_more_each(store: MemoryStore) -> str:
    return put_events(store, [*EVENTS, (FEW, "i009", 9), (MANY, "i009", 9)])


def test_few_changed_events_wait_and_both_counts_are_reported(
    store: MemoryStore, tmp_path: Path, prompt: Prompt
) -> None:
    _one_more_each(store)
    report = run(store, tmp_path, None, prompt, due=HALF)
    # One event of five is new to the first user, one of two to the second.
    assert (report.num_stale, report.num_chains, report.put_off) == (2, 1, {"few events changed": 1})
    assert report.as_dict()["num_stale"] == 2
    again = run(store, tmp_path, None, prompt, due=HALF)
    assert (again.num_chains, again.relabelled, again.put_off) == (0, 0, {"few events changed": 1})
    assert run(store, tmp_path, None, prompt).num_chains == 1, "without a policy all that is stale is due"


def test_a_text_that_waits_belongs_to_the_new_split(
    store: MemoryStore, tmp_path: Path, prompt: Prompt
) -> None:
    before = rows_of(store, "fused", "user_cot")[FEW]
    event_set = _one_more_each(store)
    run(store, tmp_path, None, prompt, due=HALF)
    assert rows_of(store, "fused", "user_cot")[FEW] == before | {"event_set": event_set}


def test_a_text_that_read_a_held_out_event_never_waits(
    store: MemoryStore, tmp_path: Path, prompt: Prompt
) -> None:
    # Without its newest event, the last training event of before validates.
    event_set = put_events(store, [event for event in EVENTS if event != (FEW, "i005", 5)])
    report = run(store, tmp_path, None, prompt, due=HALF)
    assert (report.num_chains, report.put_off) == (1, {})
    assert {row["event_set"] for row in rows_of(store, "fused", "user_cot").values()} == {event_set}


def test_a_held_out_event_is_rewritten_even_outside_the_condition(
    store: MemoryStore, tmp_path: Path, prompt: Prompt
) -> None:
    put_events(store, [event for event in EVENTS if event != (FEW, "i005", 5)])
    by_hand = run(store, tmp_path, None, prompt, where=f"user_id <> '{FEW}'")
    assert (by_hand.num_chains, by_hand.put_off) == (0, {"outside the condition": 1})
    nightly = run(store, tmp_path, None, prompt, where=f"user_id <> '{FEW}'", due=DuePolicy())
    assert (nightly.num_chains, nightly.put_off) == (1, {})


def test_texts_outside_the_condition_stay_and_take_the_new_split(
    store: MemoryStore, tmp_path: Path, prompt: Prompt
) -> None:
    event_set = _one_more_each(store)
    report = run(store, tmp_path, None, prompt, where="degree < 3", due=DuePolicy())
    assert (report.num_entities, report.num_chains, report.put_off) == (1, 1, {"outside the condition": 1})
    assert {row["event_set"] for row in rows_of(store, "fused", "user_cot").values()} == {event_set}


def test_entities_outside_the_condition_without_a_text_are_not_stale(tmp_path: Path) -> None:
    store = MemoryStore()
    put_items(store, catalogue(4))
    report = run(store, tmp_path, None, where="title LIKE '%number 1'")
    assert (report.num_entities, report.num_stale, report.put_off) == (1, 1, {})


def test_what_the_limit_leaves_is_stale_and_put_off(tmp_path: Path) -> None:
    store = MemoryStore()
    put_items(store, catalogue(4))
    report = run(store, tmp_path, None, limit=3)
    assert (report.num_stale, report.num_chains, report.put_off) == (4, 3, {"over the limit": 1})


def test_an_old_text_is_due_however_little_changed(
    store: MemoryStore, tmp_path: Path, prompt: Prompt
) -> None:
    _one_more_each(store)
    patient = DuePolicy(min_changed_share=0.5, max_age_days=30)
    waiting = run(store, tmp_path, None, prompt, due=patient)
    assert waiting.next_due is not None
    due = datetime.fromisoformat(waiting.next_due) - datetime.now(UTC)
    assert timedelta(days=29.9) < due <= timedelta(days=30)
    hasty = DuePolicy(min_changed_share=0.5, max_age_days=1e-6)
    assert run(store, tmp_path, None, prompt, due=hasty).num_chains == 1


def test_a_changed_item_counts_as_its_share_of_the_events(
    store: MemoryStore, tmp_path: Path, prompt: Prompt
) -> None:
    items = catalogue(10)
    items["i000"]["title"] = "Another kettle"
    put_items(store, items)
    engine = CountingEngine()
    report = run(store, tmp_path, engine, prompt, due=HALF)
    assert report.put_off == {"few events changed": 1}
    assert len(engine.requests) == 3


_MARKS = st.lists(st.sampled_from("abcde"), max_size=6)


@given(_MARKS, _MARKS)
def test_the_changed_share_is_a_distance(before: list[str], now: list[str]) -> None:
    share = changed_share(before, now)
    assert 0.0 <= share <= 1.0
    assert share == changed_share(now, before)
    assert (share == 0.0) == (sorted(before) == sorted(now))


def test_unknown_events_have_all_changed() -> None:
    assert changed_share(None, ["a"]) == 1.0


def test_run_ids_tell_when_a_text_was_written() -> None:
    moment = datetime(2026, 2, 28, 23, 59, 58, tzinfo=UTC)
    assert written_at(new_run_id(moment)) == moment
    assert written_at("plain-0123456789abcdef") is None
