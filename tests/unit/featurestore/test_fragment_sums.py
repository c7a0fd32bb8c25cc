"""Sums that start from a known version equal those that read everything, and read little."""

import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_samples import vector_rows

from featurestore.fragment_sums import KnownSums, VersionSums, sum_fragments
from featurestore.row_sums import sum_rows, sum_text
from featurestore.store import Store
from featurestore.stores import connect

IDS = [f"i{n}" for n in range(30)]
edits = st.lists(
    st.tuples(
        st.sampled_from(["upsert", "delete", "replace", "compact"]), st.sets(st.sampled_from(IDS), min_size=1)
    ),
    min_size=1,
    max_size=6,
)


def write(store: Store, ids: list[str], seed: int) -> int:
    matrix = np.random.default_rng(seed).standard_normal((len(ids), 3)).astype(np.float32)
    return store.upsert("t", vector_rows(ids, matrix), key="id").version


def edit(store: Store, kind: str, ids: list[str], seed: int) -> int:
    match kind:
        case "upsert":
            return write(store, ids, seed)
        case "delete":
            return store.delete("t", ids, key="id").version
        case "replace":
            return store.replace("t", store.read("t").slice(1)).version
        case _:
            for each in range(9):
                write(store, [IDS[each]], seed + each)
            store.compact("t", keep_versions=range(10_000), grace=timedelta(0))
            latest = store.latest("t")
            assert latest is not None
            return latest.version


def check(store: Store, version: int, found: VersionSums) -> None:
    rows = store.read("t", version=version)
    assert found.num_rows == rows.num_rows
    assert found.checksum == sum_text(sum_rows(rows))
    assert found.vectors == (sum_text(sum_rows(rows.select(["id", "vector"]))) if found.fragments else "")
    assert found == sum_fragments(store, "t", version)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits)
def test_known_sums_are_brought_up_to_date(done):
    with tempfile.TemporaryDirectory() as folder:
        store = connect(str(Path(folder)))
        version = write(store, IDS, 0)
        found = sum_fragments(store, "t", version)
        check(store, version, found)
        for seed, (kind, ids) in enumerate(done, start=1):
            known = KnownSums(version, found.fragments)
            version = edit(store, kind, sorted(ids), 100 * seed)
            found = sum_fragments(store, "t", version, known)
            check(store, version, found)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return connect(str(tmp_path))


def test_only_what_changed_is_read(store, monkeypatch):
    first = write(store, IDS, 0)
    known = KnownSums(first, sum_fragments(store, "t", first).fragments)
    write(store, ["i3", "new"], 1)
    last = store.delete("t", ["i7"], key="id").version
    read: list[int] = []
    original = type(store).read_fragment

    def spy(self, *names, **options):
        rows = original(self, *names, **options)
        read.append(rows.num_rows)
        return rows

    monkeypatch.setattr(type(store), "read_fragment", spy)
    told: list[pa.Table] = []
    sum_fragments(store, "t", last, known, on_read=told.append)
    assert sorted(read) == [2, 2], "the two rows that came, and the two that went"
    assert [rows["id"].to_pylist() for rows in told] == [["i3", "new"]]


def test_a_merged_table_has_the_sum_that_it_had(store):
    for number in range(12):
        version = write(store, [f"i{number}"], number)
    before = sum_fragments(store, "t", version)
    store.compact("t", keep_versions=[version], grace=timedelta(0))
    merged = sum_fragments(store, "t", store.latest("t").version)
    assert len(merged.fragments) < len(before.fragments) == 12
    assert (merged.checksum, merged.vectors) == (before.checksum, before.vectors)


def test_a_known_version_that_is_gone_is_read_anew(store):
    first = write(store, IDS, 0)
    known = KnownSums(first, sum_fragments(store, "t", first).fragments)
    last = store.delete("t", ["i7"], key="id").version
    store.compact("t", keep_versions=[last], grace=timedelta(0))
    check(store, last, sum_fragments(store, "t", last, known))


def test_sums_that_do_not_fit_are_not_believed(store):
    first = write(store, IDS, 0)
    (fragment,) = sum_fragments(store, "t", first).fragments
    wrong = KnownSums(first, (fragment.model_copy(update={"num_rows": 29}),))
    last = store.delete("t", ["i7"], key="id").version
    check(store, last, sum_fragments(store, "t", last, wrong))


def test_an_empty_table_sums_to_nothing(store):
    version = store.upsert("t", vector_rows([], np.zeros((0, 3), np.float32)), key="id").version
    found = sum_fragments(store, "t", version)
    assert (found.num_rows, found.checksum) == (0, "0" * 32)
