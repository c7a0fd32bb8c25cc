from pathlib import Path

import pytest
from generation_world import STAGES, CountingEngine, catalogue, item_cot, put_items, run

from featurestore.errors import UsageError
from featurestore.stores.memory import MemoryStore
from llm_jobs.engines.echo import EchoOptions
from llm_jobs.models import find_model, model_spec
from llm_jobs.plan import GenerationPlan, plan_generation
from llm_jobs.prompt import Prompt
from llm_jobs.specs import stage_specs


def _plan(store: MemoryStore, prompt: Prompt | None = None, **choice: object) -> GenerationPlan:
    entry = find_model("echo", {})
    prompt = prompt or item_cot()
    return plan_generation(store, prompt, stage_specs(prompt, entry, model_spec(entry)), **choice)


def _planned(plan: GenerationPlan) -> list[str]:
    return [plan.inputs.ids[work.position] for work in plan.works]


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    store = MemoryStore()
    put_items(store, catalogue(5))
    run(store, tmp_path)
    return store


def test_a_complete_store_has_an_empty_plan(store: MemoryStore) -> None:
    plan = _plan(store)
    assert plan.is_empty
    assert plan.num_entities == 5


def test_every_reason_is_told_apart(store: MemoryStore) -> None:
    items = catalogue(6)
    items["i001"]["title"] = "Another title"
    put_items(store, items)
    plan = _plan(store)
    assert _planned(plan) == ["i001", "i005"]
    assert plan.reasons == {stage: {"fields changed: title": 1, "new": 1} for stage in STAGES}


def test_another_version_is_named_where_its_rows_are_missing(store: MemoryStore) -> None:
    put_items(store, catalogue(6))
    plan = _plan(store, item_cot("Say it in one line."))
    assert plan.reasons["forward"] == {"new": 1}
    assert plan.reasons["fused"] == {"spec changed": 5, "new": 1}


def test_stages_behind_a_missing_one_count_at_most(store: MemoryStore) -> None:
    table = next(name for name in store.tables() if ".forward." in name)
    store.delete(table, ["i002"], key="id")
    plan = _plan(store)
    assert plan.reasons == {
        "forward": {"new": 1},
        "backward": {"upstream changed": 1},
        "fused": {"upstream changed": 1},
    }


def test_failed_rows_are_work_only_on_request(tmp_path: Path) -> None:
    store = MemoryStore()
    put_items(store, catalogue(3))
    run(store, tmp_path, CountingEngine(EchoOptions(gibberish_rate=1.0)), limit=2)
    assert _planned(_plan(store)) == ["i002"]
    retry = _plan(store, only_failed=True)
    assert _planned(retry) == ["i000", "i001"]
    assert retry.reasons["forward"] == {"failed": 2}


def test_limit_and_where_narrow_the_plan(store: MemoryStore) -> None:
    put_items(store, catalogue(20))
    assert _planned(_plan(store, limit=2)) == ["i005", "i006"]
    assert _planned(_plan(store, where="title LIKE '%number 1_'", limit=1)) == ["i010"]


def test_vanished_items_are_listed_by_table(store: MemoryStore) -> None:
    put_items(store, catalogue(3))
    plan = _plan(store)
    assert len(plan.vanished) == 3
    assert set(plan.vanished.values()) == {("i003", "i004")}
    assert not plan.is_empty


def test_unknown_fields_are_named_before_anything_runs(store: MemoryStore) -> None:
    prompt = item_cot()
    wrong = prompt.model_copy(update={"data": "<data>{{ titel }}</data>"})
    with pytest.raises(UsageError, match=r"reads 'titel', which the item rows lack(.|\n)*'title'"):
        _plan(store, wrong)
