"""Laws of splits and id maps, over random events and random growth."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore import columns as c
from featurestore import id_maps
from featurestore.splits import SplitPolicy, assign_parts, split_checksum
from featurestore.stores.memory import MemoryStore

IDS = st.text(alphabet="abcdé-1", min_size=1, max_size=4)
EVENTS = st.lists(
    st.tuples(IDS, IDS, st.one_of(st.none(), st.integers(0, 50)), st.sampled_from(["train", "test"])),
    min_size=1,
    max_size=60,
).map(
    lambda rows: pl.DataFrame(
        rows,
        schema={"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64, "part": pl.String},
        orient="row",
    )
)
PER_USER = ["leave_one_out", "ratio", "none"]


@pytest.mark.parametrize("method", PER_USER)
@given(events=EVENTS)
def test_parts_partition_the_events(method: str, events: pl.DataFrame) -> None:
    numbered = events.drop("part").with_row_index("row")
    parted = assign_parts(numbered, SplitPolicy.model_validate({"method": method}))
    assert parted["row"].sort().to_list() == list(range(events.height))
    assert set(parted[c.PART]) <= set(c.PARTS)
    assert parted.drop("part", "position").sort("row").equals(numbered)
    for _, user in parted.group_by("user_id"):
        assert user["position"].to_list() == list(range(user.height))
        order = {"train": 0, "valid": 1, "test": 2}
        assert user["part"].replace_strict(order).is_sorted()
        assert (user["part"] == "train").any()
        assert user["timestamp"].is_sorted(nulls_last=False)


@given(events=EVENTS)
def test_leave_one_out_holds_out_the_last_two_of_three_or_more(events: pl.DataFrame) -> None:
    parted = assign_parts(events.drop("part"), SplitPolicy())
    for _, user in parted.group_by("user_id"):
        expected = ["train"] * (user.height - 2) + ["valid", "test"]
        assert user["part"].to_list() == (expected if user.height >= 3 else ["train"] * user.height)


@given(events=EVENTS)
def test_rows_of_equal_time_keep_the_order_of_the_file(events: pl.DataFrame) -> None:
    parted = assign_parts(events.with_row_index("row"), SplitPolicy(method="none"))
    for _, tied in parted.group_by("user_id", "timestamp"):
        assert tied["row"].is_sorted()


@given(events=EVENTS, share=st.floats(0.0, 0.4), seed=st.integers(0, 3))
def test_an_official_split_keeps_test_and_cuts_validation_from_train(
    events: pl.DataFrame, share: float, seed: int
) -> None:
    events = pl.concat(
        [events, pl.DataFrame({"user_id": ["z"], "item_id": ["z"], "part": ["train"]})], how="diagonal"
    )
    policy = SplitPolicy(method="official", valid_share=share, seed=seed)
    numbered = events.with_row_index("row")
    parted = assign_parts(numbered, policy)
    before = numbered.filter(pl.col("part") == "test")["row"].to_list()
    assert sorted(parted.filter(pl.col("part") == "test")["row"]) == before
    for _, user in parted.filter(pl.col("part") != "test").group_by("user_id"):
        held_out = (user["part"] == "valid").sum()
        assert held_out == min(int(user.height * share + 0.5), user.height - 1)
    assert assign_parts(numbered, policy).equals(parted)


@given(
    times=st.lists(st.integers(0, 99), min_size=15, max_size=40, unique=True),
    data=st.data(),
)
def test_a_temporal_split_never_trains_on_the_future(times: list[int], data: st.DataObject) -> None:
    users = data.draw(st.lists(IDS, min_size=len(times), max_size=len(times)))
    timed = pl.DataFrame({"user_id": users, "item_id": users, "timestamp": [time // 2 for time in times]})
    parted = assign_parts(timed, SplitPolicy(method="temporal", valid_share=0.2, test_share=0.2))
    span = {part: set(parted.filter(pl.col("part") == part)["timestamp"]) for part in c.PARTS}
    for earlier, later in (("train", "valid"), ("valid", "test"), ("train", "test")):
        assert not span[earlier] or not span[later] or max(span[earlier]) < min(span[later])


@given(events=EVENTS, which=st.integers(0, 10**6))
def test_the_checksum_sees_every_part_item_and_position(events: pl.DataFrame, which: int) -> None:
    parted = assign_parts(events.drop("part"), SplitPolicy(method="none"))
    row = which % parted.height
    before = split_checksum(parted)
    for name, value in (("part", "test"), ("item_id", "other"), ("user_id", "other"), ("position", 99)):
        changed = parted[name].to_list()
        changed[row] = value
        assert split_checksum(parted.with_columns(pl.Series(name, changed))) != before
    assert split_checksum(parted.clone()) == before


def test_the_checksum_keeps_ids_apart() -> None:
    def of(users: list[str]) -> str:
        frame = pl.DataFrame(
            {"user_id": users, "item_id": ["i", "i"], "position": [0, 0], "part": ["train"] * 2}
        )
        return split_checksum(frame)

    assert of(["ab", "c"]) != of(["a", "bc"])


@given(growth=st.lists(st.lists(IDS, max_size=8), max_size=6))
def test_growing_an_id_map_never_renumbers(growth: list[list[str]]) -> None:
    store = MemoryStore()
    known: dict[str, int] = {}
    for ids in growth:
        grown = id_maps.extend(store, "item", ids)
        for external_id, row in known.items():
            assert grown.row_of([external_id])[0] == row
        known = {external_id: row for row, external_id in enumerate(grown.ids)}
        assert set(ids) <= set(known)
        assert id_maps.load(store, "item") == grown
        assert grown.ids_of(grown.row_of(ids)) == ids
