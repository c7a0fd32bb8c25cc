"""Tables say what records say, what was not run, and what the tests decide."""

import json

import numpy as np
import pytest
from study_world import write_record

from recommender.evaluation.significance import PairedTest, paired_tests
from scripts.study.comparisons import Comparisons
from scripts.study.document import render, untrained_table
from scripts.study.groups import Study
from scripts.study.records import Records
from scripts.study.runs import Run
from scripts.study.tables import curve_table, gain_table, result_table, table
from scripts.study.text_help import Finding, find, verdict

LASTFM = "colakg-lastfm"
NOT_AS_TEXT = (
    "**not as text**: 1 of 1 models gain beyond chance, but none of them gains more than with shuffled or "
    "random vectors."
)
DEPENDS = (
    "**it depends on the model**: 1 of 2 models gain beyond chance, 1 of them also more than with any "
    "control (controls were run for 0 of 2). Worse beyond chance: `b`."
)
GOOD, BAD = [0] * 30 + [30] * 10, [0] * 10 + [30] * 30


def run_of(form="plain", seed=0, model="lightgcn") -> Run:
    return Run(dataset=LASTFM, model=model, form=form, seed=seed)


def study_of(records: Records, *runs: Run) -> Study:
    return Study.read(runs, records)


@pytest.fixture
def records(tmp_path) -> Records:
    return Records(tmp_path)


def test_means_deviations_marks_and_what_is_missing(records):
    for seed, better in enumerate([BAD, [*BAD[1:], 0]]):
        run = run_of(seed=seed)
        write_record(records, run, better)
    text = run_of("text")
    write_record(records, text, GOOD)
    runs = [run_of(), run_of(seed=1), text, run_of("shuffled"), run_of(model="popularity")]
    lines = list(result_table(study_of(records, *runs), Comparisons(records), LASTFM, "recall@20"))
    assert lines == [
        "| Recall@20 | plain | + text | + shuffled |",
        "|---|---|---|---|",
        "| `lightgcn` | 0.2500 ± 0.0000 | 0.7500** | not run |",
        "| `popularity` | not run |  |  |",
        "",
    ]


def test_records_of_earlier_code_are_shown_with_a_dagger(records):
    write_record(records, run_of(), BAD, key="earlier")
    lines = list(result_table(study_of(records, run_of()), Comparisons(records), LASTFM, "recall@20"))
    assert lines[2] == "| `lightgcn` | 0.2500† |"


def test_comparisons_equal_the_tests_of_the_ranks_and_are_drawn_once(records, monkeypatch):
    ours = [write_record(records, run_of("text", seed), GOOD) for seed in (0, 1)]
    theirs = [write_record(records, run_of(seed=seed), BAD[seed:] + BAD[:seed]) for seed in (0, 1, 2)]
    comparisons = Comparisons(records)
    found = comparisons.family({"a": (ours, theirs)}, "ndcg@10")["a"]
    gains = [np.where(np.array(side) < 10, 1.0, 0.0) for side in (GOOD, BAD, BAD[1:] + BAD[:1])]
    expected = paired_tests({"a": gains[0]}, (gains[1] + gains[2]) / 2)["a"]
    assert found == expected
    comparisons.save()
    monkeypatch.setattr("scripts.study.comparisons.paired_tests", None)
    assert Comparisons(records).family({"a": (ours, theirs)}, "ndcg@10")["a"] == expected
    Comparisons(records).save()
    assert json.loads((records.folder / "comparisons.json").read_text(encoding="utf-8")) == {}


def test_a_family_is_corrected_as_a_whole(records):
    ours, theirs = write_record(records, run_of("text"), GOOD), write_record(records, run_of(), BAD)
    family = Comparisons(records).family({"a": ([ours], [theirs]), "b": ([ours], [theirs])}, "ndcg@10")
    assert family["a"].holm_p_value == pytest.approx(2 * family["a"].p_value)


def test_records_of_another_data_set_are_not_compared(records):
    write_record(records, run_of("text"), GOOD)
    write_record(records, run_of(), BAD)
    path = records.path(run_of())
    path.write_text(path.read_text(encoding="utf-8").replace("d" * 32, "e" * 32), encoding="utf-8")
    study = study_of(records, run_of(), run_of("text"))
    assert list(study.paired(LASTFM, "text", "plain")) == []


def test_gains_by_degree_leave_out_parts_of_few_pairs(records, monkeypatch):
    for form, better in (("plain", BAD), ("text", GOOD)):
        write_record(records, run_of(form), better)
    study = study_of(records, run_of(), run_of("text"))
    assert next(iter(gain_table(study, LASTFM))) == "| Recall@20 gain |"
    monkeypatch.setattr("scripts.study.tables._FEWEST_PAIRS", 2)
    lines = list(gain_table(study, LASTFM))
    assert lines[0] == "| Recall@20 gain | items 1-9 (40 pairs) |"
    assert lines[2] == "| `lightgcn` | +0.5000 on 0.2500 |"


def test_a_record_of_earlier_code_is_no_pair(records):
    write_record(records, run_of("text"), GOOD)
    write_record(records, run_of(), BAD, key="earlier")
    assert list(study_of(records, run_of(), run_of("text")).paired(LASTFM, "text", "plain")) == []


def _test(difference: float, p: float) -> PairedTest:
    return PairedTest(difference, difference - 0.01, difference + 0.01, p, p)


def _finding(**tests: tuple[float, float]) -> Finding:
    named = {name.replace("_", " "): _test(*values) for name, values in tests.items()}
    models = {name.partition(" ")[0]: 0.1 for name in named}
    return Finding("ndcg@20", named, models)


@pytest.mark.parametrize(
    ("tests", "sentence"),
    [
        ({"a_plain": (0.02, 0.5)}, "**no**: it makes none of 1 models better beyond chance."),
        (
            {"a_plain": (-0.02, 0.01)},
            "**no**: it makes none of 1 models better beyond chance. Worse beyond chance: `a`.",
        ),
        (
            {"a_plain": (0.02, 0.01)},
            "**better with text, controls not run**: 1 of 1 models gain beyond chance.",
        ),
        (
            {"a_plain": (0.02, 0.01), "a_shuffled": (0.0, 0.9), "a_random": (0.02, 0.01)},
            NOT_AS_TEXT,
        ),
        (
            {"a_plain": (0.02, 0.01), "a_shuffled": (0.02, 0.01), "a_random": (0.02, 0.01)},
            "**yes**: all 1 models gain beyond chance, and more than with any control.",
        ),
        (
            {"a_plain": (0.02, 0.01), "a_shuffled": (0.02, 0.01), "b_plain": (-0.1, 0.01)},
            DEPENDS,
        ),
    ],
)
def test_the_verdict_follows_the_tests(tests, sentence):
    assert verdict(_finding(**tests)) == sentence


def test_what_is_found_stands_on_the_records(records):
    for form, better in (("plain", BAD), ("text", GOOD), ("shuffled", GOOD)):
        write_record(records, run_of(form), better)
    study = study_of(records, run_of(), run_of("text"), run_of("shuffled"))
    found = find(study, Comparisons(records), LASTFM)
    assert found.models == ["lightgcn"]
    assert found.relative["lightgcn"] == pytest.approx(2.0)
    assert found.better("plain") == ["lightgcn"]
    assert found.better("shuffled") == []
    assert verdict(found).startswith("**not as text**")


def test_a_document_of_nothing_says_that_nothing_was_run(records):
    text = render(records, Comparisons(records))
    assert "| amazon14-beauty | `sasrec` | HR@10 | ≥ 0.080 | not run | not run |" in text
    assert "**colakg-lastfm**" in text
    assert text.count(": not run.\n") >= 3
    assert "| colakg-lastfm | `popularity` | plain 0 |" in text


def test_a_curve_that_was_not_run_says_so(records):
    study = study_of(records, Run(dataset="gowalla", model="lightgcn"))
    assert list(curve_table(study, "gowalla", "lightgcn")) == ["`lightgcn` on gowalla: not run.\n"]


def test_a_table_without_rows_is_nothing():
    assert list(table(["a"], [])) == []


def test_a_mean_says_how_many_of_its_seeds_lack(records):
    for seed in (0, 1):
        write_record(records, run_of(seed=seed), BAD)
    runs = [run_of(seed=seed) for seed in (0, 1, 2)]
    lines = list(result_table(study_of(records, *runs), Comparisons(records), LASTFM, "recall@20"))
    assert lines[2] == "| `lightgcn` | 0.2500 ± 0.0000 (2 of 3) |"


def test_models_are_compared_with_the_best_of_what_trains_nothing(records):
    """By validation: the test part would choose the other one."""
    for model, better, validation in (("ease", BAD, 0.9), ("counting", GOOD, 0.1), ("lightgcn", GOOD, 0.5)):
        write_record(records, run_of(model=model), better, validation={"ndcg@20": validation})
    runs = [run_of(model=model) for model in ("counting", "ease", "lightgcn", "random")]
    lines = list(untrained_table(study_of(records, *runs), Comparisons(records), LASTFM))
    assert lines[0] == "| model | NDCG@20 minus `ease` |  |"
    assert lines[2].startswith("| `lightgcn` | +0.5")
    assert lines[2].endswith("| ** |")
    assert not list(untrained_table(study_of(records, run_of()), Comparisons(records), LASTFM))
