"""Texts of one prompt made from several event sets, beside each other in one release."""

from pathlib import Path

import pytest
from forget_world import POLICY, ingest_events, user_cot
from generation_world import CountingEngine, run

from featurestore.errors import LeakError, MissingVersionError, UsageError
from featurestore.point_in_time import wanted_event_set
from featurestore.reader import FeatureStore
from featurestore.releases.publish import publish
from featurestore.splits import current_split
from featurestore.stores.memory import MemoryStore
from llm_jobs.catalog import find_prompt


def test_a_release_gives_the_version_made_from_the_events_asked_for(tmp_path: Path) -> None:
    store = MemoryStore()
    ingest_events(store, tmp_path / "data")
    split = current_split(store)
    for events in ("train", "train+valid", "log:1000"):
        prompt = user_cot().with_events(wanted_event_set(events, split))
        engine = CountingEngine()
        run(store, tmp_path, engine, prompt)
        assert engine.requests
    publish(store, gates=POLICY)
    release = FeatureStore(store).release()
    sets = {
        events: release.texts("user_cot", events=events)["event_set"].unique().to_list()
        for events in ("train", "train+valid", "log:1000")
    }
    assert split is not None
    assert sets == {
        "train": [f"{split.checksum[:16]}:train"],
        "train+valid": [f"{split.checksum[:16]}:train+valid"],
        "log:1000": ["log:1000"],
    }
    assert release.texts("user_cot").equals(release.texts("user_cot", events="train"))
    with pytest.raises(LeakError, match=r"user_cot-train-valid\.fused of release 1 read events of"):
        release.texts("user_cot-train-valid")
    assert release.texts("user_cot-log-1000").height, "all its events are training events"
    with pytest.raises(MissingVersionError, match="made from the events log:4000 is missing in release 1"):
        release.texts("user_cot", events="log:4000")


def test_events_belong_to_prompts_over_users(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="prompt 'item_cot' reads no events") as caught:
        find_prompt("item_cot", None).with_events(wanted_event_set("log:5", None))
    assert caught.value.hint == "Leave out --events."
