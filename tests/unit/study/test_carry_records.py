"""A record goes over to another version of the code only where both compute the same, to the bit."""

import pytest
from study_world import FACTS, current_key, write_record

from scripts import carry_records
from scripts.carry_records import carry, describe
from scripts.study.code_version import run_version
from scripts.study.records import Records
from scripts.study.runs import Run

RUN = Run(dataset="colakg-lastfm", model="bpr_mf", settings={"epochs": "600"})


@pytest.fixture
def records(tmp_path) -> Records:
    return Records(tmp_path)


def described(path: str, **said: object) -> dict[str, dict[str, object]]:
    return {path: {"version": "old", "current": True, "fit": "f" * 32} | said}


def test_a_tree_says_its_versions_and_what_small_fits_leave(records):
    write_record(records, RUN, [0, 1])
    found = describe(records.folder)
    assert found == describe(records.folder), "a fit is the same every time"
    (said,) = found.values()
    assert said["version"] == run_version(RUN)
    assert said["current"]
    other = RUN.model_copy(update={"settings": {"epochs": "600", "learning_rate": "0.5"}})
    assert carry_records._small_fit(other) != said["fit"]


def test_what_cannot_be_fitted_says_why(records):
    wrong = RUN.model_copy(update={"settings": {"learning_rate": "none"}})
    assert carry_records._small_fit(wrong).startswith("failed: UsageError")


def test_a_record_is_carried_where_fits_are_equal(records):
    write_record(records, RUN, [0, 1], key=RUN.key("old", FACTS.data), code="old")
    path, now = str(records.path(RUN)), run_version(RUN)
    kept = records.find(RUN)
    new = described(path, version=now, current=False)
    assert carry(records.folder, described(path), new) == [f"carried: {RUN.name}"]
    found = records.find(RUN)
    assert (found.key, found.code) == (current_key(RUN), now)
    assert found == kept.model_copy(update={"key": found.key, "code": now})
    assert carry(records.folder, new | described(path, version=now), new) == []


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({}, {"fit": "another"}),
        ({"fit": "failed: no"}, {"fit": "failed: no"}),
        ({"current": False}, {}),
    ],
)
def test_any_other_record_stays_as_it_is(records, before, now):
    write_record(records, RUN, [0, 1], key="old key", code="old")
    path, kept = str(records.path(RUN)), records.find(RUN)
    new = described(path, version="new", current=False, **now)
    said = carry(records.folder, described(path, **before), new)
    assert all(line.startswith(f"due again: {RUN.name}") for line in said)
    assert bool(said) == (before != {"current": False})
    assert records.find(RUN) == kept
