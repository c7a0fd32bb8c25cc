"""Plain user texts: the newest training events, each row with its event set, only what changed is written."""

from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.errors import InputError, LockHeldError
from featurestore.features import FeatureRegistry
from featurestore.jobs.lock import FeatureLock
from featurestore.point_in_time import parse_event_set
from featurestore.schema import INTERACTIONS, ITEMS, USERS
from featurestore.splits import SplitPolicy, SplitRecord, record_split
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore
from llm_jobs.user_text import NUM_SNIPPETS, build_user_texts, user_text

Event = tuple[str, str, str, str | None]
"""User, item, part, review; a user's events stand in the order of time."""


def make_store(events: list[Event], titles: dict[str, str | None] | None = None, *strangers: str) -> Store:
    store = MemoryStore()
    put(store, events, titles, *strangers)
    return store


def put(
    store: Store, events: list[Event], titles: dict[str, str | None] | None = None, *strangers: str
) -> SplitRecord:
    places: dict[str, int] = {}
    rows: list[dict[str, Any]] = []
    for user, item, part, review in events:
        place = places[user] = places.get(user, -1) + 1
        rows.append(
            {"user_id": user, "item_id": item, "position": place, "part": part, "review": review}
            | {"timestamp": place, "rating": None}
        )
    names = {item: f"Title {item}" for _, item, _, _ in events} | (titles or {})
    items = [{"item_id": item, "title": title} for item, title in names.items()]
    users = [{"user_id": user} for user in (*places, *strangers)]
    store.replace("source.items", pa.Table.from_pylist(items, schema=ITEMS))
    store.replace("source.users", pa.Table.from_pylist(users, schema=USERS))
    version = store.replace("source.interactions", pa.Table.from_pylist(rows, schema=INTERACTIONS))
    policy = SplitPolicy(method="official")
    return record_split(store, pl.DataFrame(rows), policy, interactions_version=version.version)


def rows_of(store: Store) -> dict[str, dict[str, Any]]:
    head = FeatureRegistry(store).head("text", "user_text", "text")
    return {row["id"]: row for row in store.read(head.table).to_pylist()}


def test_the_newest_snippets_stand_first_as_sentences() -> None:
    store = make_store(
        [
            ("u", "a", "train", "Boils fast!"),
            ("u", "b", "train", None),
            ("u", "c", "train", "<b>Smells</b> of cedar"),
        ],
        {"a": "Kettle", "b": "Tall Cup"},
    )
    version = build_user_texts(store)
    row = rows_of(store)["u"]
    assert row["text"] == "Title c: Smells of cedar. Tall Cup. Kettle: Boils fast!"
    assert (version.spec.feature, version.spec.view, version.spec.entity) == ("user_text", "text", "user")


def test_held_out_events_are_not_read_and_every_row_names_what_was() -> None:
    events: list[Event] = [("u", "a", "train", "Good"), ("u", "b", "valid", "V"), ("u", "c", "test", "T")]
    store = make_store([*events, ("w", "b", "test", "W")])
    split = put(store, [*events, ("w", "b", "test", "W")])
    build_user_texts(store)
    rows = rows_of(store)
    assert rows["u"]["text"] == "Title a: Good."
    assert (rows["w"]["status"], rows["w"]["reason"], rows["w"]["text"]) == ("failed", "no_text", None)
    assert {row["event_set"] for row in rows.values()} == {f"{split.checksum[:16]}:train"}
    assert parse_event_set(rows["u"]["event_set"]).parts == ("train",)


def test_users_without_events_or_titles_have_a_failed_row() -> None:
    store = make_store([("u", "a", "train", None)], {"a": None}, "stranger")
    build_user_texts(store)
    assert {user: row["reason"] for user, row in rows_of(store).items()} == {
        "u": "no_text",
        "stranger": "no_text",
    }


def test_long_reviews_are_cut_and_what_names_a_person_is_masked() -> None:
    text = user_text([("Cup", "word " * 500), (None, "Write to jane.doe@example.org please")])
    assert len(text.split()) < 60
    assert "jane.doe" not in text


_ITEMS = st.sampled_from([f"i{n}" for n in range(8)])
_PARTS = st.sampled_from(["train", "train", "train", "valid", "test"])


@given(
    st.lists(st.tuples(st.sampled_from(["u", "v"]), _ITEMS, _PARTS, st.just(None)), min_size=1, max_size=40)
)
def test_each_item_stands_once_at_its_newest_event(events: list[Event]) -> None:
    store = make_store(events)
    build_user_texts(store)
    for user, row in rows_of(store).items():
        wanted: list[str] = []
        for _, item, part, _ in reversed([event for event in events if event[0] == user]):
            if part == "train" and item not in wanted and len(wanted) < NUM_SNIPPETS:
                wanted.append(item)
        assert (row["text"] or "") == " ".join(f"Title {item}." for item in wanted)


def test_a_second_run_writes_nothing() -> None:
    store = make_store([("u", "a", "train", None), ("v", "b", "train", None)])
    version = build_user_texts(store)
    first = store.latest(version.table)
    assert build_user_texts(store) == version
    assert store.latest(version.table) == first


def test_another_split_labels_all_rows_anew_and_gone_users_leave() -> None:
    store = make_store([("u", "a", "train", None), ("v", "b", "train", None)])
    table = build_user_texts(store).table
    split = put(store, [("u", "a", "train", None), ("u", "c", "test", None)])
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int, note: str = "") -> None:
        seen.append((done, total))

    assert build_user_texts(store, progress=progress).table == table
    assert seen == [(1, 1)]
    rows = rows_of(store)
    assert rows.keys() == {"u"}
    assert (rows["u"]["text"], rows["u"]["event_set"]) == ("Title a.", f"{split.checksum[:16]}:train")


def test_a_store_without_events_says_to_ingest() -> None:
    with pytest.raises(InputError, match=r"holds no users with training events.\n  Run: featurestore ingest"):
        build_user_texts(MemoryStore())


def test_they_are_written_under_the_lock_of_their_table() -> None:
    store = make_store([("u", "a", "train", None)])
    table = build_user_texts(store).table
    with FeatureLock(store.objects, table), pytest.raises(LockHeldError, match="another job"):
        build_user_texts(store)
