"""The documents of docs/results are what their records say."""

import pytest

from scripts.study.comparisons import Comparisons
from scripts.study.records import Records
from scripts.study.studies import OVERVIEW, STUDIES, declared, render


@pytest.fixture(scope="module")
def documents():
    records = Records()
    return render(records, Comparisons(records))


@pytest.mark.parametrize("name", [*STUDIES, OVERVIEW])
def test_documents_are_up_to_date(documents, project_root, name):
    stored = (project_root / f"docs/results/{name}.md").read_text(encoding="utf-8")
    assert stored == documents[name], "run `make docs`"


def test_every_record_is_readable_and_holds_its_ranks():
    records = Records()
    runs = {records.path(run): run for run in declared()}
    for path in sorted(records.folder.glob("*/*.*.*.json")):
        assert path in runs, f"{path.name} is of no declared run"
        record = records.find(runs[path])
        assert record is not None
        means = {name: round(values.mean(), 9) for name, values in records.per_user(record).items()}
        assert means == {name: round(value, 9) for name, value in record.test.items()}


def test_a_name_stands_for_one_run_in_all_studies():
    runs = [run for study in STUDIES.values() for run in (*study.minimum(), *study.queue())]
    assert {run.name: run for run in runs} == {run.name: run for run in reversed(runs)}


def test_tests_of_significance_are_stored_so_that_nothing_is_drawn(monkeypatch):
    monkeypatch.setattr("scripts.study.comparisons.paired_tests", None)
    records = Records()
    assert render(records, Comparisons(records))
