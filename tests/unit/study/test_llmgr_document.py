"""What the document of LLMGR says of records made by hand."""

import numpy as np
import pytest
from study_world import write_record

from recommender.registry import find_model, parse_settings
from scripts.study.comparisons import Comparisons
from scripts.study.llmgr import BASES, MODEL, THRESHOLDS, minimum, queue, rare
from scripts.study.llmgr_document import render
from scripts.study.records import Records
from scripts.study.runs import Run

BEAUTY = "amazon14-beauty"
DECLARED = {run.name: run for run in [*minimum(), *queue()]}
GOOD, BAD = [0] * 30 + [50] * 10, [0] * 10 + [50] * 30


@pytest.fixture
def records(tmp_path) -> Records:
    return Records(tmp_path / "runs")


def run_of(model: str, label: str = "plain", dataset: str = BEAUTY) -> Run:
    return DECLARED[f"{dataset}/{model}/{label}/seed-0"]


def written(records: Records) -> str:
    return render(records, Comparisons(records))


def test_settings_of_every_run_fit_their_models():
    for run in DECLARED.values():
        parse_settings(find_model(run.model).config_type, run.settings)
    config = parse_settings(find_model(MODEL).config_type, run_of(MODEL, f"text-{rare(5)}").settings)
    assert (config.base, config.semantic_max_degree) == ("gcsan", 5)
    names = [run.name for run in minimum()]
    assert len(set(names)) == len(names)


def test_without_records_everything_is_not_run(records):
    text = written(records)
    for base in BASES:
        assert f"| {BEAUTY} | more than `{base}` alone | not run | not run |" in text
    assert "## session-diginetica-slice\n\nTexts: none. Nothing has been run." in text
    assert "Not run: both stages of a decoder" in text
    assert f"| {BEAUTY} | `{MODEL}` | text 0, shuffled 0, random 0" in text


def test_gains_and_tests_are_of_the_records(records):
    for model, label, better in (
        (MODEL, "text", GOOD),
        ("gcsan", "plain", BAD),
        (MODEL, "shuffled", BAD),
        ("gcsan", "text-concat", BAD),
    ):
        write_record(records, run_of(model, label), better)
    text = written(records)
    assert f"| {BEAUTY} | more than `gcsan` alone | +200.0% (0.2500 to 0.7500) | reached |" in text
    assert f"| {BEAUTY} | more than shuffled texts, beyond chance | +0.5000** | reached |" in text
    assert "| `gcsan` + text, concat | " in text


def test_the_threshold_is_chosen_by_validation_once_all_were_run(records):
    labels = ["text", *(f"text-{rare(most)}" for most in THRESHOLDS)]

    def record(label: str, better: list[int], validation: float) -> None:
        made = write_record(records, run_of(MODEL, label), better)
        validated = made.model_copy(update={"validation": {"ndcg@10": validation}})
        records.save(validated, np.array(better), np.ones(len(better), np.int64))

    for label in labels[:-1]:
        record(label, GOOD, 0.1)
    text = written(records)
    assert "4 of 5 thresholds were run: none is chosen." in text
    assert "**at most" not in text
    record(labels[-1], BAD, 0.2)  # best by validation, not by the test
    text = written(records)
    assert "none is chosen" not in text
    assert f"| **at most {THRESHOLDS[-1]} sessions** | 0.2000 | 0.2500 |" in text


def test_clicks_stand_beside_what_was_published(records):
    run = run_of("gcsan", dataset="session-diginetica-slice")
    write_record(records, run, GOOD)
    text = written(records)
    assert "0.4127 / 0.1881 / 0.2408 |" in text
    assert "| `narm` | not run | not run | not run | not run | not run | not run | 0.3801" in text
