"""A night has one ceiling: the plans of all features together, before anything is asked."""

from pathlib import Path

import pytest
from generation_world import CountingEngine
from refresh_world import Shop, make_shop, run_night

from featurestore.errors import PlanTooExpensiveError
from featurestore.features import FeatureRegistry
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.runcard import recent_cards
from featurestore.stores.memory import MemoryStore
from llm_jobs.refresh import RefreshReport
from llm_jobs.spending import Spending

PLENTY = Spending(max_tokens=10**9)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Tokens of the first night, by feature."""
    night = run_night(MemoryStore(), tmp_path_factory.mktemp("first"), _shop(), spending=PLENTY)
    return night.facts("budget")["by_feature"]  # type: ignore[return-value]


def _shop() -> Shop:
    return make_shop(8, 5, 5)


def test_features_that_fit_one_by_one_are_refused_together(
    store: MemoryStore, tmp_path: Path, planned: dict[str, int]
) -> None:
    total, engine, told = sum(planned.values()), CountingEngine(), list[RefreshReport]()
    assert set(planned) == {"item_cot", "user_cot"}
    assert max(planned.values()) < total - 1
    with pytest.raises(PlanTooExpensiveError) as caught:
        run_night(
            store,
            tmp_path,
            _shop(),
            engine=engine,
            told=told.append,
            spending=Spending(max_tokens=total - 1),
        )
    assert caught.value.message == (
        f"the night (tokens: item_cot {planned['item_cot']:,}, user_cot {planned['user_cot']:,}) takes about "
        f"{total:,} tokens, more than the {total - 1:,} allowed."
    )
    assert engine.requests == []
    assert recent_cards(store, 5) == []
    assert (told[0].exit_code, [stage.name for stage in told[0].stages]) == (
        11,
        ["ingest", "retire", "budget"],
    )
    night = run_night(store, tmp_path, _shop(), spending=Spending(max_tokens=2 * total))
    assert night.facts("budget")["tokens"] == total


def test_a_night_without_a_ceiling_is_planned_once(store: MemoryStore, tmp_path: Path) -> None:
    night = run_night(store, tmp_path, _shop(), spending=Spending(2.5))
    assert "budget" not in night.statuses
    assert night.facts("texts.item_cot")["cost"] is not None, "the price is the night's"


def test_a_plan_that_grows_during_the_night_is_held_to_what_is_left(
    store: MemoryStore, tmp_path: Path, planned: dict[str, int]
) -> None:
    """Users are planned before the texts of their items are there, which make their prompts longer."""
    ceiling = Spending(max_tokens=sum(planned.values()))
    engine, told = CountingEngine(), list[RefreshReport]()
    with pytest.raises(
        PlanTooExpensiveError,
        match=rf"the plan takes about [\d,]+ tokens after {planned['item_cot']:,} of the plans before, more",
    ):
        run_night(store, tmp_path, _shop(), engine=engine, told=told.append, spending=ceiling)
    assert told[0].stages[-1].name == "texts.user_cot"
    assert len(engine.requests) == 3 * 8, "the items' texts, which are kept, and no user's"
    night = run_night(store, tmp_path, _shop(), spending=ceiling)
    assert night.facts("budget")["by_feature"].keys() == {"user_cot"}  # type: ignore[attr-defined]
    assert night.facts("publish")["release"] == 1


def test_a_night_in_which_nothing_changed_fits_any_ceiling(store: MemoryStore, tmp_path: Path) -> None:
    run_night(store, tmp_path, _shop(), spending=PLENTY)
    night = run_night(store, tmp_path, _shop(), spending=Spending(max_tokens=0))
    assert (night.statuses["budget"], night.facts("budget")["tokens"]) == ("done", 0)


def test_texts_that_another_job_writes_count_for_nothing(
    store: MemoryStore, tmp_path: Path, planned: dict[str, int]
) -> None:
    shop = _shop()
    run_night(store, tmp_path, shop, spending=PLENTY)
    shop.titles = {item: f"{title}, red" for item, title in shop.titles.items()}
    with FeatureLock(store.objects, FeatureRegistry(store).head("text", "item_cot", "forward").table):
        night = run_night(store, tmp_path, shop, spending=Spending(max_tokens=planned["item_cot"]))
    assert night.statuses["texts.item_cot"] == "left"
    assert night.facts("budget")["by_feature"].keys() == {"user_cot"}  # type: ignore[attr-defined]
