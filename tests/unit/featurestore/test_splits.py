"""Split rules on events small enough to check by eye, and the record of a split."""

import polars as pl
import pytest

from featurestore.errors import InputError, RowContractError
from featurestore.splits import SplitPolicy, assign_parts, current_split, record_split
from featurestore.stores.memory import MemoryStore


def events(**columns: list[object]) -> pl.DataFrame:
    return pl.DataFrame({"user_id": ["u"] * len(columns["item_id"]), **columns}, strict=False)


def parts(frame: pl.DataFrame) -> dict[str, str]:
    return dict(zip(frame["item_id"], frame["part"], strict=True))


def test_time_comes_before_position_and_position_before_the_order_of_rows() -> None:
    given = events(
        item_id=["late", "b2", "b1", "unknown", "a"], timestamp=[9, 5, 5, None, 5], position=[0, 2, 1, 7, 1]
    )
    ordered = assign_parts(given, SplitPolicy(method="none"))
    assert ordered["item_id"].to_list() == ["unknown", "b1", "a", "b2", "late"]
    assert ordered["position"].to_list() == [0, 1, 2, 3, 4]


def test_leave_one_out_of_a_known_user() -> None:
    assert parts(assign_parts(events(item_id=["a", "b", "c"]), SplitPolicy())) == {
        "a": "train",
        "b": "valid",
        "c": "test",
    }
    assert set(assign_parts(events(item_id=["a", "b"]), SplitPolicy())["part"]) == {"train"}


def test_a_ratio_split_takes_each_users_newest() -> None:
    given = events(item_id=[f"i{n}" for n in range(10)], timestamp=list(range(10)))
    found = parts(assign_parts(given, SplitPolicy(method="ratio", valid_share=0.2, test_share=0.1)))
    assert [found[f"i{n}"] for n in range(10)] == ["train"] * 7 + ["valid"] * 2 + ["test"]


def test_a_temporal_split_keeps_equal_times_together_in_the_later_part() -> None:
    given = events(item_id=list("abcdefghij"), timestamp=[1, 2, 3, 4, 5, 6, 7, 9, 9, 9])
    found = assign_parts(given, SplitPolicy(method="temporal", valid_share=0.2, test_share=0.1))
    assert found["part"].to_list() == ["train"] * 7 + ["test"] * 3


@pytest.mark.parametrize("name", ["part", "split"])
def test_official_parts_may_be_spelled_the_usual_ways(name: str) -> None:
    given = events(item_id=["a", "b", "c"], **{name: ["Train", " val ", "TEST"]})
    assert assign_parts(given, SplitPolicy(method="official"))["part"].to_list() == ["train", "valid", "test"]


def test_the_seed_chooses_other_validation_events() -> None:
    given = events(item_id=[f"i{n}" for n in range(100)], part=["train"] * 100)
    drawn = [
        frozenset(
            assign_parts(given, SplitPolicy(method="official", seed=seed)).filter(pl.col("part") == "valid")[
                "item_id"
            ]
        )
        for seed in (0, 1)
    ]
    assert len(drawn[0]) == len(drawn[1]) == 10
    assert drawn[0] != drawn[1]


def test_old_events_stay_where_they_are_when_new_ones_come() -> None:
    old = events(item_id=[f"i{n}" for n in range(100)], part=["train"] * 100)
    new = events(item_id=["x"], part=["train"])
    policy = SplitPolicy(method="official")
    before, after = parts(assign_parts(old, policy)), parts(assign_parts(pl.concat([new, old]), policy))
    assert sum(before[item] != after[item] for item in before) <= 1


def test_unknown_parts_and_missing_columns_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"unknown parts \['tset'\]; expected train, valid, test"):
        assign_parts(events(item_id=["a"], part=["tset"]), SplitPolicy(method="official"))
    with pytest.raises(
        RowContractError, match=r"official split needs a column 'part'.* found user_id, item_id"
    ):
        assign_parts(events(item_id=["a"]), SplitPolicy(method="official"))
    with pytest.raises(RowContractError, match="temporal split needs a column 'timestamp'"):
        assign_parts(events(item_id=["a"]), SplitPolicy(method="temporal"))
    with pytest.raises(InputError, match="needs 'timestamp' in every event; 1 have none"):
        assign_parts(events(item_id=["a", "b"], timestamp=[1, None]), SplitPolicy(method="temporal"))


def test_a_split_that_leaves_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(InputError, match="leaves none of 3 events to train on"):
        assign_parts(events(item_id=["a", "b", "c"], timestamp=[5, 5, 5]), SplitPolicy(method="temporal"))


def test_shares_must_leave_something_to_train_on() -> None:
    with pytest.raises(ValueError, match="must leave something to train on"):
        SplitPolicy(valid_share=0.5, test_share=0.5)


def test_recording_a_split_twice_writes_once() -> None:
    store, policy = MemoryStore(), SplitPolicy()
    assert current_split(store) is None
    first = assign_parts(events(item_id=["a", "b", "c"]), policy)
    record = record_split(store, first, policy, interactions_version=1)
    record_split(store, first, policy, interactions_version=1)
    assert store.objects.list("splits/") == [f"splits/000001-{record.checksum}.json"]
    assert record.counts == {"train": 1, "valid": 1, "test": 1}
    assert record.event_set() == f"{record.checksum[:16]}:train"
    second = record_split(
        store, assign_parts(events(item_id=["a", "b"]), policy), policy, interactions_version=2
    )
    assert current_split(store) == second
    assert len(store.objects.list("splits/")) == 2
