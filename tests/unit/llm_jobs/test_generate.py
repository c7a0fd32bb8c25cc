from pathlib import Path

import pyarrow as pa
import pytest
from generation_world import (
    STAGES,
    CountingEngine,
    catalogue,
    item_cot,
    put_items,
    rows_of,
    run,
)

from featurestore.errors import InputError, LockHeldError, SkipBudgetError, UsageError
from featurestore.features import FeatureRegistry
from featurestore.jobs.committer import CommitPace
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.runcard import list_runs, read_run_card
from featurestore.schema import INTERACTIONS, TEXTS
from featurestore.spec import table_name
from featurestore.stores.memory import MemoryStore
from llm_jobs.chain import ChainLimits
from llm_jobs.engines.echo import EchoOptions
from llm_jobs.models import find_model, model_spec
from llm_jobs.specs import stage_specs


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    put_items(store, catalogue(10))
    return store


def test_every_item_gets_one_row_per_stage_and_a_second_run_does_nothing(
    store: MemoryStore, tmp_path: Path
) -> None:
    engine = CountingEngine()
    report = run(store, tmp_path, engine)
    assert report.requests == len(engine.requests) == 30
    assert report.outcomes == {stage: {"ok": 10} for stage in STAGES}
    for stage in STAGES:
        rows = rows_of(store, stage)
        assert sorted(rows) == sorted(catalogue(10))
        assert all(row["text"] and row["answer"] and row["raw"] is None for row in rows.values())
    before = {table: store.latest(table) for table in store.tables()}
    again = CountingEngine()
    second = run(store, tmp_path, again)
    assert (second.requests, again.requests, second.num_chains) == (0, [], 0)
    assert {table: store.latest(table) for table in store.tables()} == before
    assert len(list_runs(store)) == 1


def test_rows_of_the_schema_say_where_they_come_from(store: MemoryStore, tmp_path: Path) -> None:
    report = run(store, tmp_path)
    head = FeatureRegistry(store).head("text", "item_cot", "fused")
    rows = store.read(head.table)
    assert rows.schema.equals(TEXTS)
    row = rows.to_pylist()[0]
    assert row["run_id"] == report.run_id
    assert (row["engine"], row["attempts"], row["finish_reason"]) == ("echo-1-cpu", 1, "stop")
    assert row["cached_tokens"] > 0
    assert row["event_set"] is None
    card = read_run_card(store, report.run_id)
    assert (card.status, card.requests, card.counts["fused"]) == ("finished", 30, {"ok": 10})
    assert card.specs["fused"] == head.spec.digest


def test_a_later_stage_goes_on_from_the_answer_before_it(store: MemoryStore, tmp_path: Path) -> None:
    engine = CountingEngine()
    run(store, tmp_path, engine, limit=1)
    forward, backward, fused = engine.requests
    assert [len(request.messages) for request in engine.requests] == [2, 4, 6]
    assert forward.continues is None
    assert backward.continues is not None
    assert fused.continues is not None
    assert (backward.continues.key, fused.continues.key) == (forward.key, backward.key)
    assert forward.priority > backward.priority > fused.priority


def test_only_fields_that_the_prompt_reads_make_a_row_stale(store: MemoryStore, tmp_path: Path) -> None:
    run(store, tmp_path)
    items = catalogue(10)
    items["i003"]["price"] = 99.0
    put_items(store, items)
    assert run(store, tmp_path).requests == 0
    items["i003"]["title"] = "A teapot"
    put_items(store, items)
    report = run(store, tmp_path)
    assert (report.requests, report.recomputed) == (3, 3)


def test_a_new_fused_question_runs_the_fused_stage_only(store: MemoryStore, tmp_path: Path) -> None:
    run(store, tmp_path)
    old = rows_of(store, "fused")
    engine = CountingEngine()
    report = run(store, tmp_path, engine, item_cot("What is it, in short?"))
    assert report.requests == 10
    assert report.outcomes == {"forward": {}, "backward": {}, "fused": {"ok": 10}}
    assert all(request.continues is None and len(request.messages) == 6 for request in engine.requests)
    assert rows_of(store, "fused")["i000"]["text"] != old["i000"]["text"]
    assert run(store, tmp_path).requests == 0
    assert rows_of(store, "fused") == old


def test_an_equal_upstream_answer_stops_the_chain(store: MemoryStore, tmp_path: Path) -> None:
    run(store, tmp_path)
    table = FeatureRegistry(store).head("text", "item_cot", "forward").table
    row = rows_of(store, "forward")["i004"]
    store.delete(table, ["i004"], key="id")
    report = run(store, tmp_path)
    assert (report.requests, report.reused) == (0, 1)
    assert rows_of(store, "forward")["i004"]["answer"] == row["answer"]


def test_rows_of_vanished_items_are_deleted(store: MemoryStore, tmp_path: Path) -> None:
    run(store, tmp_path)
    items = catalogue(8)
    put_items(store, items)
    report = run(store, tmp_path, where="title = 'Kettle number 1'")
    assert (report.requests, report.deleted) == (0, 6)
    assert all(sorted(rows_of(store, stage)) == sorted(items) for stage in STAGES)


def test_equal_items_are_asked_once_and_all_get_rows(tmp_path: Path) -> None:
    store = MemoryStore()
    put_items(store, {f"i{n}": {"title": "The same kettle"} for n in range(200)})
    engine = CountingEngine(EchoOptions(concurrency=4))
    report = run(store, tmp_path, engine)
    assert (report.requests, report.outcomes["fused"]) == (3, {"ok": 200})
    assert len({row["text"] for row in rows_of(store, "fused").values()}) == 1


def test_limit_takes_the_first_stale_items_in_id_order(store: MemoryStore, tmp_path: Path) -> None:
    run(store, tmp_path, limit=4)
    assert sorted(rows_of(store, "fused")) == ["i000", "i001", "i002", "i003"]
    run(store, tmp_path, limit=4)
    assert len(rows_of(store, "fused")) == 8


def test_where_selects_by_columns_and_degree(store: MemoryStore, tmp_path: Path) -> None:
    events = [("u1", "i001", 0), ("u1", "i002", 1), ("u2", "i002", 0)]
    rows = [{"user_id": u, "item_id": i, "position": p, "part": "train"} for u, i, p in events]
    store.replace("source.interactions", pa.Table.from_pylist(rows, schema=INTERACTIONS))
    run(store, tmp_path, where="degree >= 2 OR title LIKE '%number 7'")
    assert sorted(rows_of(store, "fused")) == ["i002", "i007"]


def test_a_column_of_the_shop_does_not_take_the_name_of_the_degree(
    store: MemoryStore, tmp_path: Path
) -> None:
    items = store.read("source.items")
    store.replace("source.items", items.append_column("degree", pa.array(["high"] * items.num_rows)))
    event = {"user_id": "u1", "item_id": "i001", "position": 0, "part": "train"}
    store.replace("source.interactions", pa.Table.from_pylist([event], schema=INTERACTIONS))
    run(store, tmp_path, where="degree >= 1")
    assert sorted(rows_of(store, "fused")) == ["i001"]


def test_an_unusable_condition_lists_the_columns(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the condition 'titel = 1' cannot be evaluated.*\n.*title.*degree"):
        run(store, tmp_path, where="titel = 1")


def test_nothing_ingested_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no source\.items: nothing was ingested"):
        run(MemoryStore(), tmp_path)


def test_failures_are_rows_with_reason_and_raw_output_and_are_not_retried(
    store: MemoryStore, tmp_path: Path
) -> None:
    engine = CountingEngine(EchoOptions(gibberish_rate=1.0))
    report = run(store, tmp_path, engine)
    assert len(engine.requests) == 20
    assert report.outcomes["forward"] == {"no_json": 10}
    assert report.outcomes["fused"] == {"upstream_failed": 10}
    row = rows_of(store, "forward")["i000"]
    assert (row["status"], row["reason"], row["attempts"], row["text"]) == ("failed", "no_json", 2, None)
    assert row["raw"] == "mumble mumble"
    later = rows_of(store, "fused")["i000"]
    assert (later["status"], later["attempts"], later["engine"]) == ("failed", 0, None)
    assert run(store, tmp_path).requests == 0


def test_only_failed_retries_failed_rows_with_new_seeds(store: MemoryStore, tmp_path: Path) -> None:
    run(store, tmp_path, CountingEngine(EchoOptions(gibberish_rate=1.0)), limit=4)
    engine = CountingEngine()
    report = run(store, tmp_path, engine, only_failed=True)
    assert report.requests == 12
    assert {request.sampling.seed for request in engine.requests if len(request.messages) == 2} == {2}
    assert sorted(rows_of(store, "fused")) == ["i000", "i001", "i002", "i003"]
    assert {row["status"] for row in rows_of(store, "fused").values()} == {"ok"}
    assert rows_of(store, "forward")["i000"]["attempts"] == 3
    assert run(store, tmp_path, only_failed=True).requests == 0


def test_a_changed_input_gives_a_failed_row_a_new_chance(store: MemoryStore, tmp_path: Path) -> None:
    run(store, tmp_path, CountingEngine(EchoOptions(gibberish_rate=1.0)))
    items = catalogue(10)
    items["i001"]["title"] = "A better title"
    put_items(store, items)
    assert run(store, tmp_path).requests == 3
    assert rows_of(store, "fused")["i001"]["status"] == "ok"


def test_engine_errors_are_asked_again_and_long_prompts_are_not(store: MemoryStore, tmp_path: Path) -> None:
    broken = CountingEngine(EchoOptions(failure_rate=1.0))
    assert run(store, tmp_path, broken, limit=1).outcomes["forward"] == {"engine_error": 1}
    assert len(broken.requests) == 2
    small = CountingEngine(EchoOptions(max_model_len=100))
    assert run(store, tmp_path, small, limit=1).outcomes["forward"] == {"prompt_too_long": 1}
    assert len(small.requests) == 1


def test_items_that_say_nothing_are_not_sent_to_a_model(store: MemoryStore, tmp_path: Path) -> None:
    put_items(store, {"blank": {"title": "  ", "price": 3.0}, "known": {"title": "Kettle"}})
    report = run(store, tmp_path)
    assert report.requests == 3
    assert rows_of(store, "forward")["blank"]["reason"] == "no_input"
    assert rows_of(store, "fused")["blank"]["status"] == "failed"
    assert run(store, tmp_path).requests == 0


def test_a_spent_skip_budget_stops_the_job_and_keeps_what_succeeded(tmp_path: Path) -> None:
    store = MemoryStore()
    put_items(store, catalogue(300))
    engine = CountingEngine(EchoOptions(gibberish_rate=0.7, concurrency=8))
    with pytest.raises(
        SkipBudgetError, match=r"answers failed \(no_json \d+\): more than the skip budget of 20%"
    ):
        run(store, tmp_path, engine, limits=ChainLimits(max_attempts=1))
    assert 20 <= len(engine.requests) < 60
    assert 0 < len(rows_of(store, "forward")) < 60
    card = read_run_card(store, list_runs(store)[-1])
    assert card.status == "stopped"
    assert card.error is not None
    assert card.error.startswith("SkipBudgetError")


def test_ctrl_c_keeps_what_is_done_and_the_next_run_goes_on(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(store, tmp_path, CountingEngine(stop_after=13))
    assert sum(len(rows_of(store, stage)) for stage in ("forward", "backward")) == 13
    engine = CountingEngine()
    run(store, tmp_path, engine)
    assert len(engine.requests) == 30 - 13
    assert all(len(rows_of(store, stage)) == 10 for stage in STAGES)
    assert [read_run_card(store, run_id).status for run_id in list_runs(store)] == ["stopped", "finished"]


def test_rows_are_stored_while_the_job_runs(store: MemoryStore, tmp_path: Path) -> None:
    seen: list[int] = []

    class Watching(CountingEngine):
        def poll(self, timeout: float) -> list:
            table = next((t for t in store.tables() if t.startswith("text.item_cot.forward")), None)
            seen.append(store.latest(table).num_rows if table else 0)
            return super().poll(timeout)

    engine = Watching(EchoOptions(concurrency=1, latency_seconds=0.02))
    run(store, tmp_path, engine, pace=CommitPace(flush_seconds=0.0, commit_seconds=0.01))
    assert max(seen) > 0


def test_a_second_job_is_refused_while_the_first_holds_the_lock(store: MemoryStore, tmp_path: Path) -> None:
    entry = find_model("echo", {})
    spec = stage_specs(item_cot(), entry, model_spec(entry))[1]
    with (
        FeatureLock(store.objects, table_name(spec)),
        pytest.raises(LockHeldError, match=r"another job works on text\.item_cot\.backward.*pid"),
    ):
        run(store, tmp_path)
    assert run(store, tmp_path).requests == 30


def test_an_answer_serves_every_feature_that_asks_the_same(store: MemoryStore, tmp_path: Path) -> None:
    run(store, tmp_path)
    renamed = item_cot().model_copy(update={"name": "other_cot"})
    report = run(store, tmp_path, prompt=renamed)
    assert (report.requests, report.reused) == (0, 30)
    assert {row["text"] for row in rows_of(store, "fused", "other_cot").values()} == {
        row["text"] for row in rows_of(store, "fused").values()
    }
