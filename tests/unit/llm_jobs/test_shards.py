"""Shards: every entity in one of them, always cut in the same way, complete in themselves."""

import dataclasses
import pickle  # noqa: TID251 - Ray carries shards between processes in this form
from collections import Counter

import pytest
from generation_world import LENIENT, catalogue, item_cot, put_items, run
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.errors import SetupError
from featurestore.stores.memory import MemoryStore
from llm_jobs.engines.echo import EchoEngine
from llm_jobs.models import find_model, model_spec
from llm_jobs.outcomes import Tally
from llm_jobs.plan import GenerationPlan, plan_generation
from llm_jobs.runner import ChainJob
from llm_jobs.shards import add_tally, cut_plan, run_shard
from llm_jobs.specs import stage_specs

ECHO = find_model("echo", {})
SPECS = stage_specs(item_cot(), ECHO, model_spec(ECHO))
JOB = ChainJob(item_cot(), SPECS, "run", LENIENT)


def _plan(titles: list[str]) -> GenerationPlan:
    store = MemoryStore()
    put_items(store, {f"i{n:03d}": {"title": title} for n, title in enumerate(titles)})
    return plan_generation(store, item_cot(), SPECS)


@settings(max_examples=30)
@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=20), st.integers(1, 7))
def test_shards_hold_every_chain_once_and_equal_entities_together(titles: list[str], size: int) -> None:
    plan = _plan(titles)
    shards = list(cut_plan(plan, size))
    assert sorted(i for shard in shards for i in shard.plan.inputs.ids) == list(plan.inputs.ids)
    assert all(1 <= shard.num_chains <= size for shard in shards)
    assert [shard.shard_id for shard in cut_plan(plan, size)] == [shard.shard_id for shard in shards]
    for shard in shards:
        assert [work.position for work in shard.plan.works] == list(range(shard.num_chains))
        assert list(shard.plan.inputs.ids) == shard.plan.inputs.rows["item_id"].to_list()
    cuts = Counter(title for shard in shards for title in set(shard.plan.inputs.rows["title"]))
    assert cuts.total() <= len(set(titles)) + len(shards) - 1


def test_what_is_current_is_in_no_shard_and_stored_rows_travel_along(tmp_path) -> None:
    store = MemoryStore()
    put_items(store, catalogue(5))
    run(store, tmp_path)
    items = catalogue(7)
    items["i002"]["title"] = "Teapot"
    put_items(store, items)
    plan = plan_generation(store, item_cot(), SPECS)
    (shard,) = cut_plan(plan)
    assert shard.plan.inputs.ids == ("i002", "i005", "i006")
    stored = [[row is not None for row in work.stored] for work in shard.plan.works]
    assert stored == [[True] * 3, [False] * 3, [False] * 3]


def test_a_shard_that_crossed_to_another_process_gives_the_rows_of_the_whole_plan() -> None:
    plan = _plan([f"Kettle {n}" for n in range(7)])
    whole: dict[tuple[str, str], object] = {}
    parts: dict[tuple[str, str], object] = {}
    for shards, rows in ((cut_plan(plan, 100), whole), (cut_plan(plan, 2), parts)):
        for shard in shards:
            carried_job, carried = pickle.loads(pickle.dumps((JOB, shard)))
            run_shard(
                carried_job,
                carried,
                EchoEngine(),
                lambda table, row, rows=rows: rows.update({(table, row["id"]): row}),
            )
    assert len(whole) == 21
    assert parts == whole


def test_an_engine_that_died_with_its_last_requests_fails_the_shard() -> None:
    class Dying(EchoEngine):
        def submit(self, requests) -> None:
            if not requests:
                raise SetupError("the engine's process has died.")
            super().submit(requests)

    (shard,) = cut_plan(_plan(["Kettle"]))
    with pytest.raises(SetupError, match="has died"):
        run_shard(JOB, shard, Dying(), lambda *_: None)


def test_tallies_add_up_in_every_field() -> None:
    numbers = {f.name: n for n, f in enumerate(dataclasses.fields(Tally), 1) if f.name != "outcomes"}
    total = Tally(outcomes={"a": Counter(ok=1)}, **numbers)
    add_tally(total, Tally(outcomes={"a": Counter(ok=2, timeout=1), "b": Counter(ok=1)}, **numbers))
    assert total.outcomes == {"a": {"ok": 3, "timeout": 1}, "b": {"ok": 1}}
    assert {name: getattr(total, name) for name in numbers} == {n: 2 * v for n, v in numbers.items()}
