"""The nightly refresh: what a change touches and what it does not, what is skipped, and how it ends."""

from collections import Counter
from pathlib import Path

import pytest
from generation_world import CountingEngine, item_cot, rows_of
from refresh_world import GATES, SilentWatch, feature_job, items_and_users, make_shop, run_night

from featurestore.errors import GateFailedError, LockHeldError
from featurestore.features import FeatureRegistry
from featurestore.jobs.lock import FeatureLock
from featurestore.release import ReleaseCatalog
from featurestore.releases.gc import gc
from featurestore.releases.promote import rollback
from featurestore.releases.publish import publish
from featurestore.releases.retention import GcPolicy
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore
from llm_jobs.due import DuePolicy
from llm_jobs.generate import GenerateOptions
from llm_jobs.refresh import REFRESH_LOCK, RefreshReport
from llm_jobs.refresh_job import FeatureJob

STAGES = [
    "ingest",
    "retire",
    "texts.item_cot",
    "texts.user_cot",
    "vectors.item_cot.fused",
    "vectors.user_cot.fused",
    "graph.item_cot.fused-users",
    "graph.user_cot.fused",
    "publish",
    "promote",
]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def _items() -> tuple[FeatureJob, ...]:
    return (feature_job(item_cot(), GenerateOptions(due=DuePolicy()), graphs=()),)


def _ids(store: MemoryStore, kind: str, feature: str, view: str, column: str = "id") -> set[str]:
    head = FeatureRegistry(store).head(kind, feature, view)  # type: ignore[arg-type]
    return set(store.read(head.table, columns=[column])[column].to_pylist())


def test_the_first_night_makes_and_releases_everything(store: MemoryStore, tmp_path: Path) -> None:
    night = run_night(store, tmp_path, make_shop(8, 5, 5))
    assert [stage.name for stage in night.report.stages] == STAGES
    assert set(night.statuses.values()) == {"done"}
    assert night.report.as_dict()["status"] == "finished"
    assert ReleaseCatalog(store).aliases() == {"production": 1}
    assert len(night.engine.requests) == 3 * (8 + 5)
    assert night.facts("texts.item_cot")["due"] == night.facts("texts.item_cot")["stale"] == 8


def test_a_night_without_changes_skips_every_stage_and_writes_nothing(
    store: MemoryStore, tmp_path: Path
) -> None:
    shop = make_shop(8, 5, 5)
    run_night(store, tmp_path, shop)
    run_night(store, tmp_path, shop)
    before = {table: store.latest(table) for table in store.tables()}
    night = run_night(store, tmp_path, shop)
    assert set(night.statuses.values()) == {"skipped"}
    assert night.facts("publish")["release"] == 1, "a skipped stage still says what it came to"
    assert (night.engine.requests, night.encoded) == ([], [])
    assert {table: store.latest(table) for table in store.tables()} == before


def test_a_changed_title_costs_its_item_its_readers_and_nothing_else(
    store: MemoryStore, tmp_path: Path
) -> None:
    shop = make_shop(8, 5, 5)
    run_night(store, tmp_path, shop)
    shop.titles["i003"] = "A teapot"
    readers = {user for user, item, time in shop.events if item == "i003" and time < 3}
    night = run_night(store, tmp_path, shop)
    assert night.facts("texts.item_cot")["due"] == 1
    assert night.facts("texts.user_cot")["due"] == len(readers)
    assert len(night.engine.requests) == 3 + 3 * len(readers)
    assert night.facts("publish")["release"] == 2


def test_what_is_gone_leaves_texts_vectors_and_edges(store: MemoryStore, tmp_path: Path) -> None:
    shop = make_shop(8, 5, 5)
    run_night(store, tmp_path, shop)
    del shop.titles["i003"]
    shop.events = [event for event in shop.events if event[0] != "u04" and event[1] != "i003"]
    night = run_night(store, tmp_path, shop)
    assert night.facts("retire")["num_deleted"] == 4 + 4
    for feature, gone in (("item_cot", "i003"), ("user_cot", "u04")):
        for view in ("forward", "backward", "fused"):
            assert gone not in _ids(store, "text", feature, view)
        assert gone not in _ids(store, "vector", feature, "fused")
    for feature, view in (("item_cot", "fused-users"), ("user_cot", "fused")):
        for column in ("src_id", "dst_id"):
            assert "u04" not in _ids(store, "graph", feature, view, column)


def test_users_that_wait_keep_the_release_sound(store: MemoryStore, tmp_path: Path) -> None:
    shop = make_shop(8, 5, 6)
    patient = items_and_users(DuePolicy(min_changed_share=0.5, max_age_days=30))
    run_night(store, tmp_path, shop, patient)
    shop.titles["i003"] = "A teapot"
    shop.events.append(("u01", "i007", 9))
    night = run_night(store, tmp_path, shop, patient)
    facts = night.facts("texts.user_cot")
    assert facts["due"] == 0
    assert facts["stale"] == facts["put_off"]["few events changed"] > 1  # type: ignore[index]
    assert night.facts("publish")["release"] == 2
    assert night.statuses["texts.user_cot"] == "done"
    assert run_night(store, tmp_path, shop, patient).statuses["texts.user_cot"] == "skipped"


def test_a_condition_writes_the_long_tail_only(store: MemoryStore, tmp_path: Path) -> None:
    shop, tail = make_shop(8, 5, 5), GenerateOptions(where="degree < 2", due=DuePolicy())
    run_night(store, tmp_path, shop, (feature_job(item_cot(), tail, graphs=()),))
    degrees = Counter(item for _, item, time in shop.events if time < 3)
    assert set(rows_of(store, "fused")) == {item for item in shop.titles if degrees[item] < 2}


def test_a_gate_leaves_alias_and_later_stages_as_they_are_and_the_report_says_so(
    store: MemoryStore, tmp_path: Path
) -> None:
    shop = make_shop(8, 5, 5)
    run_night(store, tmp_path, shop, _items())
    shop.titles["i008"] = "A teapot"
    told: list[RefreshReport] = []
    with pytest.raises(GateFailedError, match="coverage"):
        run_night(
            store,
            tmp_path,
            shop,
            (feature_job(item_cot(), GenerateOptions(limit=8, where="title IS NULL"), graphs=()),),
            told=told.append,
            gates=GATES.model_copy(update={"min_coverage": 1.0}),
        )
    (report,) = told
    assert (report.status, report.exit_code) == ("failed", 5)
    last = report.as_dict()["stages"][-1]
    assert (last["name"], last["status"]) == ("publish", "failed")
    assert last["error"].startswith("GateFailedError: 3 gates refuse this release")
    assert ReleaseCatalog(store).aliases() == {"production": 1}


def test_a_refused_release_is_tried_again_the_next_night(store: MemoryStore, tmp_path: Path) -> None:
    shop, strict = make_shop(8, 5, 5), GATES.model_copy(update={"max_duplicate_text_share": 0.0})
    shop.titles["i001"] = shop.titles["i000"]
    with pytest.raises(GateFailedError, match="duplicate_texts"):
        run_night(store, tmp_path, shop, _items(), gates=strict)
    assert run_night(store, tmp_path, shop, _items()).facts("publish")["release"] == 1


def test_a_canary_is_verified_and_checked_before_it_is_promoted(store: MemoryStore, tmp_path: Path) -> None:
    shop = make_shop(8, 5, 5)
    seen: list[dict[str, int]] = []

    def check(release: int) -> None:
        seen.append(ReleaseCatalog(store).aliases())
        if len(seen) == 1:
            raise GateFailedError("the check did not like it.")

    with pytest.raises(GateFailedError, match="did not like it"):
        run_night(store, tmp_path, shop, _items(), canary="canary", check=check)
    assert ReleaseCatalog(store).aliases() == {"canary": 1}
    night = run_night(store, tmp_path, shop, _items(), canary="canary", check=check)
    assert seen == [{"canary": 1}, {"canary": 1}]
    assert [stage.name for stage in night.report.stages][-4:] == ["publish", "verify", "check", "promote"]
    assert ReleaseCatalog(store).aliases() == {"canary": 1, "production": 1}


def test_a_release_that_was_rolled_back_is_not_promoted_again(store: MemoryStore, tmp_path: Path) -> None:
    shop = make_shop(8, 5, 5)
    run_night(store, tmp_path, shop, _items())
    shop.titles["i003"] = "A teapot"
    run_night(store, tmp_path, shop, _items())
    rollback(store)
    run_night(store, tmp_path, shop, _items())
    assert ReleaseCatalog(store).aliases() == {"production": 1}
    shop.titles["i003"] = "A mug"
    run_night(store, tmp_path, shop, _items())
    assert ReleaseCatalog(store).aliases() == {"production": 3}


def test_a_release_that_garbage_collection_took_is_made_again(store: MemoryStore, tmp_path: Path) -> None:
    shop = make_shop(8, 5, 5)
    run_night(store, tmp_path, shop, _items())
    other = publish(store, gates=GATES, features=["item_cot.fused"])
    assert other.manifest.number == 2
    gc(store, GcPolicy(keep_releases=1, grace_hours=0))
    assert ReleaseCatalog(store).numbers() == [2]
    night = run_night(store, tmp_path, shop, _items())
    assert night.statuses["publish"] == night.statuses["promote"] == "done"
    assert ReleaseCatalog(store).aliases() == {"production": 3}


def test_two_refreshes_do_not_mix(store: MemoryStore, tmp_path: Path) -> None:
    with (
        FeatureLock(store.objects, REFRESH_LOCK),
        pytest.raises(LockHeldError, match="another job works on refresh"),
    ):
        run_night(store, tmp_path, make_shop(4, 3, 4))


def test_texts_that_another_job_writes_are_left_to_it(store: MemoryStore, tmp_path: Path) -> None:
    shop = make_shop(8, 5, 5)
    run_night(store, tmp_path, shop, _items())
    shop.titles["i003"] = "A teapot"
    table = FeatureRegistry(store).head("text", "item_cot", "forward").table
    with FeatureLock(store.objects, table):
        night = run_night(store, tmp_path, shop, _items())
    report = next(stage for stage in night.report.stages if stage.name == "texts.item_cot")
    assert (report.status, night.report.exit_code) == ("left", 0)
    assert report.left is not None
    assert report.left.startswith(f"another job works on {table}")
    assert run_night(store, tmp_path, shop, _items()).facts("texts.item_cot")["due"] == 1


def test_a_limit_spreads_a_large_change_over_nights(store: MemoryStore, tmp_path: Path) -> None:
    shop, counts = make_shop(8, 5, 5), list[int]()
    limited = (feature_job(item_cot(), GenerateOptions(limit=3, due=DuePolicy()), graphs=()),)
    for _ in range(4):
        night = run_night(store, tmp_path, shop, limited)
        counts.append(len(night.engine.requests) // 3)
    assert counts == [3, 3, 2, 0]


@pytest.mark.parametrize("stage", STAGES)
def test_a_refresh_that_ends_anywhere_goes_on(store: MemoryStore, tmp_path: Path, stage: str) -> None:
    shop = make_shop(6, 4, 5)

    def stop(report: object) -> None:
        if report.name == stage:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    told: list[RefreshReport] = []
    with pytest.raises(KeyboardInterrupt):
        run_night(store, tmp_path, shop, watch=SilentWatch(stop), told=told.append)
    assert told[0].status == "stopped"
    night = run_night(store, tmp_path, shop)
    assert night.facts("promote")["release"] == 1
    asked_again = {"ingest": 30, "retire": 30, "texts.item_cot": 12}.get(stage, 0)
    assert len(night.engine.requests) == asked_again


def test_ctrl_c_in_the_middle_of_the_texts_loses_no_answer(store: MemoryStore, tmp_path: Path) -> None:
    shop, engine = make_shop(6, 4, 5), CountingEngine(stop_after=7)
    with pytest.raises(KeyboardInterrupt):
        run_night(store, tmp_path, shop, engine=engine)
    night = run_night(store, tmp_path, shop)
    asked = {request.key for request in night.engine.requests}
    assert not asked & engine.answered
    assert len(asked | engine.answered) == 3 * (6 + 4)


def test_compaction_wakes_no_stage(tmp_path: Path) -> None:
    """Publishing merges small files: versions of the same rows, after the stages were marked."""
    store = connect(str(tmp_path / "store"))
    shop = make_shop(8, 3, 3)
    run_night(store, tmp_path, shop, _items())
    head = FeatureRegistry(store).head("vector", "item_cot", "fused")
    for item in sorted(shop.titles):  # small files, as of many nights
        store.upsert(head.table, store.read(head.table, ids=[item]), key="id")
    run_night(store, tmp_path, shop, _items())
    before = store.latest(head.table)
    assert before is not None
    assert store.objects.list(f"merged/{head.table}/") == [
        f"merged/{head.table}/{before.version:06d}.json"
    ], "the release of that night merged them"
    assert set(run_night(store, tmp_path, shop, _items()).statuses.values()) == {"skipped"}
    gc(store, GcPolicy(keep_releases=1, grace_hours=0))
    assert set(run_night(store, tmp_path, shop, _items()).statuses.values()) == {"skipped"}
