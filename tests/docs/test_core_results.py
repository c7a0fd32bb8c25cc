"""docs/results/core.md is what its records say."""

import scripts.results
from scripts.study.comparisons import Comparisons
from scripts.study.records import Records


def test_the_document_is_up_to_date(project_root):
    stored = (project_root / "docs/results/core.md").read_text(encoding="utf-8")
    assert stored == scripts.results.render(), "run `make docs`"


def test_every_record_is_readable_and_holds_its_ranks():
    records = Records()
    for path in sorted(records.folder.glob("*/*.*.*.json")):
        dataset, (model, label, seed, _) = path.parent.name, path.name.split(".")
        matching = [
            record
            for run in scripts.results.declared()
            if (run.dataset, run.model, run.label, str(run.seed)) == (dataset, model, label, seed)
            and (record := records.find(run)) is not None
        ]
        assert len(matching) == 1, f"{path.name} is of no declared run"
        means = {name: values.mean() for name, values in records.per_user(matching[0]).items()}
        assert {n: round(v, 9) for n, v in means.items()} == {
            n: round(v, 9) for n, v in matching[0].test.items()
        }


def test_tests_of_significance_are_stored_so_that_nothing_is_drawn(monkeypatch):
    monkeypatch.setattr("scripts.study.comparisons.paired_tests", None)
    records = Records()
    assert scripts.results.render_document(records, Comparisons(records))
