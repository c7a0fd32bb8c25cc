"""Sessions in the place of users, from the files to the split."""

import polars as pl
import pytest
from pydantic import ValidationError

from featurestore import columns as c
from featurestore import source_tables
from featurestore.errors import InputError, RowContractError, UsageError
from featurestore.ingest import IngestReport, IngestRequest, ingest
from featurestore.sessions import SessionPolicy, as_sessions
from featurestore.stores.memory import MemoryStore

LOOSE = {"per_item": 1, "shortest": 2}
EVENTS = [
    ("a", "x", 0),
    ("a", "y", 100),
    ("a", "z", 5_000),  # a pause of 4,900 seconds before it
    ("a", "x", 5_050),
    ("a", "y", 5_100),
    ("b", "z", 70),
    ("c", "y", 40),
    ("c", "x", 30),
]


@pytest.fixture
def files(tmp_path):
    frame = pl.DataFrame(EVENTS, ["user_id", "item_id", "timestamp"], orient="row")
    frame.write_parquet(tmp_path / "interactions.parquet")
    pl.DataFrame({"user_id": ["a"], "age": [7]}).write_parquet(tmp_path / "users.parquet")
    return tmp_path


@pytest.fixture
def stored():
    return MemoryStore("sessions-ingest")


def run(store: MemoryStore, folder, roles=("interactions",), **policy) -> IngestReport:
    files = {role: folder / f"{role}.parquet" for role in roles}
    return ingest(store, IngestRequest(files, sessions=SessionPolicy(**policy)))


def stored_events(store: MemoryStore) -> dict[str, list[tuple[str, str]]]:
    found = source_tables.stored(store, source_tables.INTERACTIONS)
    return {
        user: list(rows.select(c.ITEM_ID, c.PART).rows())
        for (user,), rows in found.sort(c.USER_ID, c.POSITION).group_by(c.USER_ID, maintain_order=True)
    }


def test_without_a_policy_users_stay_users(stored, files):
    report = run(stored, files)
    assert set(stored_events(stored)) == {"a", "b", "c"}
    assert report.files[0].notes == {}


def test_pauses_cut_users_into_sessions_which_are_split_each(stored, files):
    report = run(stored, files, by="gap", gap_seconds=1_000, **LOOSE)
    assert stored_events(stored) == {
        "a/0": [("x", "train"), ("y", "train")],
        "a/1": [("z", "train"), ("x", "valid"), ("y", "test")],
        "c/0": [("x", "train"), ("y", "train")],
    }
    [file] = report.files
    assert (file.read, file.kept) == (8, 7)
    assert file.notes == {"events in no session that is kept": 1}


def test_a_user_may_be_one_session(stored, files):
    run(stored, files, roles=("interactions", "users"), by="user", longest=4, **LOOSE)
    found = stored_events(stored)
    assert [item for item, _ in found["a"]] == ["y", "z", "x", "y"]  # the newest four
    assert set(found) == {"a", "c"}


def test_equal_times_are_in_the_order_of_positions():
    events = pl.DataFrame(
        {"user_id": ["a"] * 3, "item_id": ["x", "y", "z"], "timestamp": [5] * 3, "position": [2, 0, 1]}
    )
    found = as_sessions(events, SessionPolicy(by="gap", **LOOSE))
    assert found["item_id"].to_list() == ["y", "z", "x"]


def test_what_can_be_no_sessions_is_refused(stored, files):
    with pytest.raises(
        UsageError, match=r"sessions that pauses end have ids of their own, so that users.parquet"
    ):
        run(stored, files, roles=("interactions", "users"), by="gap", **LOOSE)
    with pytest.raises(
        InputError, match=r"no session is left of 8 events: items of 4 events and sessions of 3"
    ):
        run(stored, files, by="user", per_item=4)
    with pytest.raises(RowContractError, match="sessions are cut by time"):
        as_sessions(pl.DataFrame({"user_id": ["a"], "item_id": ["x"]}), SessionPolicy(by="gap"))
    with pytest.raises(ValidationError, match=r"longest \(2\) must be shortest \(3\) at least"):
        SessionPolicy(longest=2)
    assert stored.latest(source_tables.INTERACTIONS) is None
