"""Users follow the item texts they read: exactly those whose sampled events hold a changed text are stale."""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from generation_world import PROMPTS, CountingEngine, item_cot, put_items, run
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.schema import INTERACTIONS, USERS
from featurestore.splits import SplitPolicy, assign_parts, record_split
from featurestore.stores.memory import MemoryStore
from llm_jobs.engine import Message, Request
from llm_jobs.job_graph import UpstreamJob, upstream_texts
from llm_jobs.models import find_model, model_spec
from llm_jobs.plan import GenerationPlan, plan_generation
from llm_jobs.prompt import load_prompt
from llm_jobs.specs import stage_specs

_NUM_ITEMS = 6
_HISTORY_SIZE = 3
_ECHO = find_model("echo", {})
_USER_COT = load_prompt(PROMPTS / "user_cot.toml").with_limits(history_size=_HISTORY_SIZE)

_EVENTS = st.lists(st.lists(st.integers(0, _NUM_ITEMS - 1), max_size=9), min_size=1, max_size=4)
_CHANGES = st.lists(st.sampled_from(["none", "unheard", "heard"]), min_size=_NUM_ITEMS, max_size=_NUM_ITEMS)


class _HardOfHearing(CountingEngine):
    """Answers as if nobody had said ``whisper`` and a number."""

    def submit(self, requests: Sequence[Request]) -> None:
        super().submit([replace(request, messages=_heard(request.messages)) for request in requests])


def _heard(messages: Sequence[Message]) -> tuple[Message, ...]:
    return tuple(replace(m, content=re.sub(r"whisper \d+", "", m.content)) for m in messages)


def _put_items(store: MemoryStore, changes: Sequence[str]) -> None:
    told = {"none": "Steel. whisper 1", "unheard": "Steel. whisper 2", "heard": "Copper. whisper 1"}
    put_items(
        store, {f"i{n}": {"title": f"Kettle {n}", "description": told[c]} for n, c in enumerate(changes)}
    )


def _put_users(store: MemoryStore, choices: Sequence[Sequence[int]]) -> None:
    users = [{"user_id": f"u{number}"} for number in range(len(choices))]
    store.replace("source.users", pa.Table.from_pylist(users, schema=USERS))
    rows = [(f"u{u}", f"i{item}", when) for u, items in enumerate(choices) for when, item in enumerate(items)]
    schema: dict[str, Any] = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
    parted = assign_parts(pl.DataFrame(rows, schema=schema, orient="row"), SplitPolicy())
    table = pa.Table.from_pylist(parted.to_dicts(), schema=INTERACTIONS)
    version = store.replace("source.interactions", table).version
    record_split(store, parted, SplitPolicy(), interactions_version=version)


def _plan_users(store: MemoryStore) -> GenerationPlan:
    return plan_generation(store, _USER_COT, stage_specs(_USER_COT, _ECHO, model_spec(_ECHO)))


def _stale_users(store: MemoryStore) -> set[str]:
    plan = _plan_users(store)
    return {plan.inputs.ids[work.position] for work in plan.works}


@settings(max_examples=15)
@given(choices=_EVENTS, changes=_CHANGES)
def test_exactly_the_readers_of_changed_texts_are_stale(choices: list[list[int]], changes: list[str]) -> None:
    store, upstream = MemoryStore(), UpstreamJob(item_cot(), "fused", _ECHO)
    with tempfile.TemporaryDirectory() as folder:
        _put_items(store, ["none"] * _NUM_ITEMS)
        _put_users(store, choices)
        sampled = {u: set(h.item_ids) for u, h in _plan_users(store).inputs.histories.items()}
        read = set[str]().union(*sampled.values())
        before = upstream_texts(store, upstream, _plan_users(store).inputs)
        assert (before.num_read, before.num_missing, before.num_stale) == (len(read), len(read), 0)

        run(store, Path(folder), _HardOfHearing(), item_cot())
        run(store, Path(folder), _HardOfHearing(), _USER_COT)
        assert _stale_users(store) == set()

        _put_items(store, changes)
        assert _stale_users(store) == set(), "what an item text read is the item's business until it is new"
        touched = {f"i{n}" for n, change in enumerate(changes) if change != "none"}
        now = upstream_texts(store, upstream, _plan_users(store).inputs)
        assert (now.num_read, now.num_missing, now.num_stale) == (len(read), 0, len(read & touched))

        engine = _HardOfHearing()
        run(store, Path(folder), engine, item_cot())
        assert bool(engine.requests) == bool(touched)
        new_texts = {f"i{n}" for n, change in enumerate(changes) if change == "heard"}
        assert _stale_users(store) == {user for user, items in sampled.items() if items & new_texts}
        assert upstream_texts(store, upstream, _plan_users(store).inputs).is_current
