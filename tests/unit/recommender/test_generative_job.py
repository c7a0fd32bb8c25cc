"""The batch job that stores lists: killed anywhere, nothing is lost, doubled, or half there."""

import numpy as np
import pyarrow as pa
import pytest
from toy_store import fill

from featurestore.errors import LockHeldError, UsageError
from featurestore.gates.policy import GatePolicy
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.log import find_logs
from featurestore.reader import FeatureStore
from featurestore.releases.publish import publish
from featurestore.stores.memory import MemoryStore
from recommender.generative.job import write_lists


class Lists:
    """Lists that tell whose they are; user row 3 has a short one. Dies after some batches."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.asked: list[int] = []
        self._left = dies_after

    def __call__(self, users):
        if self._left == 0:
            raise RuntimeError("killed")
        self._left = None if self._left is None else self._left - 1
        self.asked.extend(users.tolist())
        items = (users[:, None] + np.arange(3)) % 16
        items[users == 3, 1:] = -1
        return items, np.where(items >= 0, -items / 4, -np.inf).astype(np.float32)


@pytest.fixture
def store(tmp_path):
    made = MemoryStore("job")
    fill(made, tmp_path)
    return made


def run(store, lists, folder, **options):
    release = FeatureStore(store).release("1")
    given = {"name": "isrf", "model_digest": "0" * 32, "top_k": 3, "logs": folder, "batch_size": 4} | options
    return write_lists(store, lists, release, **given)


def rows_of(store, report):
    return store.read(report.table).to_pylist()


def expected_rows(store):
    release = FeatureStore(store).release("1")
    users, items = release.id_map("user"), release.id_map("item")
    rows = []
    for row, user in enumerate(users.ids):
        for rank in range(1 if row == 3 else 3):
            item = (row + rank) % 16
            rows.append({"user_id": user, "item_id": items.ids[item], "rank": rank, "score": -item / 4})
    return rows


def in_order(rows):
    return sorted(rows, key=lambda row: (row["user_id"], row["rank"]))


def test_every_user_gets_the_list_and_the_next_release_pins_it(store, tmp_path):
    lists = Lists()
    report = run(store, lists, tmp_path)
    assert in_order(rows_of(store, report)) == in_order(expected_rows(store))
    assert (report.num_users, report.num_recovered, report.num_written) == (31, 0, 31)
    assert find_logs(tmp_path / report.table) == []
    publish(store, gates=GatePolicy())
    found = FeatureStore(store).release("production").recommendations("isrf")
    assert found.height == len(expected_rows(store))


@pytest.mark.parametrize("batches", [1, 3, 7])
def test_a_killed_job_goes_on_from_what_was_flushed(store, tmp_path, batches):
    first = Lists(dies_after=batches)
    with pytest.raises(RuntimeError, match="killed"):
        run(store, first, tmp_path)
    second = Lists()
    report = run(store, second, tmp_path)
    assert sorted(first.asked + second.asked) == list(range(31))
    assert (report.num_recovered, report.num_written) == (4 * batches, 31 - 4 * batches)
    assert in_order(rows_of(store, report)) == in_order(expected_rows(store))
    assert find_logs(tmp_path / report.table) == []


def test_nothing_is_seen_before_everything_is_there(store, tmp_path):
    with pytest.raises(RuntimeError, match="killed"):
        run(store, Lists(dies_after=2), tmp_path)
    assert not [table for table in store.tables() if table.startswith("recommendations.")]


def test_a_torn_line_is_decoded_again(store, tmp_path):
    with pytest.raises(RuntimeError, match="killed"):
        run(store, Lists(dies_after=2), tmp_path)
    [log] = tmp_path.glob("*/*.log")
    log.write_bytes(log.read_bytes()[:-5])
    second = Lists()
    report = run(store, second, tmp_path)
    assert (report.num_recovered, len(second.asked)) == (7, 24)
    assert in_order(rows_of(store, report)) == in_order(expected_rows(store))


def test_a_job_killed_after_its_commit_has_nothing_left_to_do(store, tmp_path, monkeypatch):
    replace = store.replace

    def then_die(table: str, rows: pa.Table):
        replace(table, rows)
        raise RuntimeError("killed")

    monkeypatch.setattr(store, "replace", then_die)
    with pytest.raises(RuntimeError, match="killed"):
        run(store, Lists(), tmp_path)
    monkeypatch.undo()
    second = Lists()
    report = run(store, second, tmp_path)
    assert (second.asked, report.num_written) == ([], 0)
    assert in_order(rows_of(store, report)) == in_order(expected_rows(store))
    assert store.latest(report.table).version == 1
    assert find_logs(tmp_path / report.table) == []


def test_other_weights_have_another_table(store, tmp_path):
    one, two = run(store, Lists(), tmp_path), run(store, Lists(), tmp_path, model_digest="1" * 32)
    assert one.table != two.table


def test_what_cannot_be_stored_is_refused_before_anything_is_decoded(store, tmp_path):
    lists = Lists()
    with pytest.raises(UsageError, match=r"lists named 'a b' of 3 items cannot be stored: feature: "):
        run(store, lists, tmp_path, name="a b")
    with pytest.raises(UsageError, match=r"lists named 'isrf' of 0 items cannot be stored: top_k: "):
        run(store, lists, tmp_path, top_k=0)
    assert not lists.asked


def test_two_jobs_do_not_write_the_same_lists(store, tmp_path):
    report = run(store, Lists(), tmp_path)
    with FeatureLock(store.objects, report.table), pytest.raises(LockHeldError, match="another job works on"):
        run(store, Lists(), tmp_path)
