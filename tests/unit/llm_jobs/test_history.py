"""User histories: training events only, a stable sample, newest first, a digest that tells what changed."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.errors import LeakError, UsageError
from featurestore.features import FeatureRegistry
from featurestore.schema import INTERACTIONS, ITEMS, TEXTS
from featurestore.spec import ImportedTextSpec, table_name
from featurestore.splits import SplitRecord
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore
from llm_jobs.history import UserHistory, user_histories
from llm_jobs.prompt import History

HISTORY = History(size=3, item_feature="item_cot.fused")


def event(user: str, item: str, position: int, part: str = "train") -> dict[str, Any]:
    return {
        "user_id": user,
        "item_id": item,
        "timestamp": position * 10,
        "position": position,
        "part": part,
        "rating": None,
        "review": None,
    }


def make_store(events: list[dict[str, Any]], **items: dict[str, Any]) -> Store:
    store = MemoryStore()
    names = sorted({row["item_id"] for row in events})
    rows = [
        {"item_id": n, "title": f"Title {n}", "brand": None, "categories": "C"} | items.get(n, {})
        for n in names
    ]
    store.replace("source.items", pa.Table.from_pylist(rows, schema=ITEMS))
    store.replace("source.interactions", pa.Table.from_pylist(events, schema=INTERACTIONS))
    return store


def split_of(store: Store) -> SplitRecord:
    latest = store.latest("source.interactions")
    assert latest is not None
    return SplitRecord(
        method="leave_one_out",
        parameters={},
        checksum="ab" * 16,
        counts={},
        interactions_version=latest.version,
    )


def history_of(store: Store, user: str, history: History = HISTORY) -> UserHistory:
    return user_histories(store, history, [user], split_of(store))[user]


def titles(history: UserHistory) -> list[str]:
    return [row["title"] for row in history.events]


def write_fused(store: Store, texts: dict[str, str], event_set: str | None = None) -> None:
    spec = ImportedTextSpec(
        feature="item_cot", view="fused", entity="item", producer="test", content_digest="0" * 32
    )
    rows = [
        {
            "id": name,
            "status": "ok" if text else "failed",
            "text": text or None,
            "fingerprint": "f",
            "attempts": 1,
            "run_id": "r",
            "event_set": event_set,
        }
        for name, text in texts.items()
    ]
    store.replace(table_name(spec), pa.Table.from_pylist(rows, schema=TEXTS))
    FeatureRegistry(store).register(spec)


def test_training_events_newest_first_with_their_item_fields() -> None:
    store = make_store([event("u", "a", 0), event("u", "b", 1)], a={"title": "<b>Cup</b>", "brand": "B"})
    history = history_of(store, "u")
    assert history.events == (
        {"title": "Title b", "brand": None, "categories": "C", "feature": None},
        {"title": "Cup", "brand": "B", "categories": "C", "feature": None},
    )
    assert history.event_set == "abababababababab:train"


def test_held_out_events_are_never_shown() -> None:
    store = make_store([event("u", "a", 0), event("u", "b", 1, "valid"), event("u", "c", 2, "test")])
    assert titles(history_of(store, "u")) == ["Title a"]


def test_a_held_out_event_changes_nothing_not_even_the_digest() -> None:
    without = history_of(make_store([event("u", "a", 0)]), "u")
    with_test = history_of(make_store([event("u", "a", 0), event("u", "z", 1, "test")]), "u")
    assert with_test == without


def test_users_without_training_events_have_an_empty_history() -> None:
    store = make_store([event("u", "a", 0, "test")])
    assert history_of(store, "u").events == ()
    assert history_of(store, "stranger").events == ()


def test_fused_texts_are_shown_where_they_exist() -> None:
    store = make_store([event("u", "a", 0), event("u", "b", 1), event("u", "c", 2)])
    write_fused(store, {"a": "Sturdy <|im_end|> cup.", "b": ""})
    assert [row["feature"] for row in history_of(store, "u").events] == [None, None, "Sturdy cup."]


def test_a_new_fused_text_changes_the_digest_and_a_price_does_not() -> None:
    store = make_store([event("u", "a", 0)])
    plain = history_of(store, "u").events_digest
    priced = make_store([event("u", "a", 0)], a={"price": 9.5})
    assert history_of(priced, "u").events_digest == plain
    write_fused(store, {"a": "Sturdy."})
    assert history_of(store, "u").events_digest != plain


def test_item_texts_that_read_held_out_events_are_refused() -> None:
    store = make_store([event("u", "a", 0)])
    write_fused(store, {"a": "Loved by testers."}, event_set="abababababababab:test")
    with pytest.raises(LeakError) as caught:
        history_of(store, "u")
    assert "item_cot.fused were written from events of abababababababab:test" in str(caught.value)
    assert "may read abababababababab:train only" in str(caught.value)


def test_a_field_that_items_lack_is_named() -> None:
    store = make_store([event("u", "a", 0)])
    with pytest.raises(UsageError, match=r"the history reads 'genre' of each item, which the items lack"):
        history_of(store, "u", History(size=3, fields=("genre",)))


def test_the_split_pins_the_version_of_the_events() -> None:
    store = make_store([event("u", "a", 0)])
    split = split_of(store)
    store.replace("source.interactions", pa.Table.from_pylist([event("u", "b", 0)], schema=INTERACTIONS))
    assert titles(user_histories(store, HISTORY, ["u"], split)["u"]) == ["Title a"]


def test_an_item_bought_twice_counts_as_two_events() -> None:
    twice = [event("u", "a", 0), {**event("u", "a", 1), "timestamp": 0}]
    assert titles(history_of(make_store(twice), "u")) == ["Title a", "Title a"]


@settings(max_examples=40)
@given(st.integers(0, 12), st.permutations(range(12)))
def test_sampling_does_not_depend_on_row_order_and_moves_by_one_event(count: int, order: list[int]) -> None:
    events = [event("u", f"i{n:02}", n) for n in range(count)]
    shuffled = [events[n] for n in order if n < count]
    sample = titles(history_of(make_store([*events, event("v", "x", 0)]), "u"))
    assert titles(history_of(make_store([*shuffled, event("v", "x", 0)]), "u")) == sample
    assert sample == sorted(sample, reverse=True)
    assert len(sample) == min(count, HISTORY.size)
    grown = titles(history_of(make_store([*events, event("u", "new", 99), event("v", "x", 0)]), "u"))
    assert len(set(sample) - set(grown)) <= 1


def test_different_users_sample_differently() -> None:
    events = [event(user, f"i{n:02}", n) for user in ("u", "v", "w") for n in range(30)]
    store = make_store(events)
    samples = user_histories(store, HISTORY, ["u", "v", "w"], split_of(store))
    assert len({tuple(titles(history)) for history in samples.values()}) == 3


PARTED = [event("u", "a", 0), event("u", "b", 1, "valid"), event("u", "c", 2, "test")]


@pytest.mark.parametrize(
    ("events", "seen", "name"),
    [
        ("train", "a", "abababababababab:train"),
        ("train+valid", "ba", "abababababababab:train+valid"),
        ("log:9", "a", "log:9"),
        ("log:10", "ba", "log:10"),
        ("log:1970-01-01T00:00:10", "a", "log:9"),
    ],
)
def test_a_prompt_may_name_other_events(events: str, seen: str, name: str) -> None:
    history = history_of(make_store(PARTED), "u", History(size=3, events=events))
    assert (titles(history), history.event_set) == ([f"Title {item}" for item in seen], name)


def test_events_without_a_time_are_in_no_log() -> None:
    store = make_store([event("u", "a", 0), event("u", "b", 1) | {"timestamp": None}])
    assert titles(history_of(store, "u", History(size=3, events="log:1000"))) == ["Title a"]


@pytest.mark.parametrize(
    ("events", "item_text", "refused"),
    [
        ("train", "abababababababab:train+valid", True),
        ("train+valid", "abababababababab:train", False),
        ("train+valid", "cdcdcdcdcdcdcdcd:train", True),
        ("log:10", "log:9", False),
        ("log:10", "log:11", True),
        ("log:10", "abababababababab:train", True),
    ],
)
def test_item_texts_may_have_read_no_other_events_than_the_prompt(
    events: str, item_text: str, refused: bool
) -> None:
    store = make_store(PARTED)
    write_fused(store, {"a": "Nice."}, item_text)
    history = HISTORY.model_copy(update={"events": events})
    if refused:
        with pytest.raises(LeakError, match=r"texts of item_cot\.fused were written from events of"):
            history_of(store, "u", history)
    else:
        assert history_of(store, "u", history).events[-1]["feature"] == "Nice."


def test_personal_data_in_fields_that_users_write_is_masked() -> None:
    store = make_store([event("u", "a", 0)], a={"title": "Mail a@b.org", "brand": "Call 415-555-0132"})
    shown = user_histories(store, HISTORY, ["u"], split_of(store), user_written=("title",))["u"].events[0]
    assert (shown["title"], shown["brand"]) == ("Mail [email]", "Call 415-555-0132")
