"""What the document of RecMind says of records made by hand."""

import numpy as np
import pytest
from study_world import write_record

from recommender.evaluation.strata import Cut
from scripts.study import recmind_questions as questions
from scripts.study.comparisons import Comparisons
from scripts.study.groups import Study
from scripts.study.rank_metrics import RankMetrics
from scripts.study.recmind import minimum, queue
from scripts.study.recmind_document import render
from scripts.study.records import Records
from scripts.study.runs import GatePart, Run

LASTFM = "colakg-lastfm"
GOOD, BAD = [0] * 30 + [50] * 10, [0] * 10 + [50] * 30
DECLARED = {run.name: run for run in minimum()}


@pytest.fixture
def records(tmp_path) -> Records:
    return Records(tmp_path / "runs")


def run_of(model: str, label: str = "text", seed: int = 0) -> Run:
    return DECLARED[f"{LASTFM}/{model}/{label}/seed-{seed}"]


def test_without_records_everything_is_not_run(records):
    text = render(records, Comparisons(records))
    assert "| colakg-lastfm | Recall@40 ≥ 4 % over LightGCN | not run | not run |" in text
    assert "Nothing has been run." in text


def test_targets_are_judged_by_the_records(records):
    write_record(records, run_of("recmind"), GOOD)
    write_record(records, run_of("lightgcn", "plain"), BAD)
    write_record(records, run_of("recmind", "text-no-alignment"), GOOD)
    text = render(records, Comparisons(records))
    assert "| colakg-lastfm | Recall@40 ≥ 4 % over LightGCN | +200.0% | reached |" in text
    assert (
        "| colakg-lastfm | removing the alignment costs, beyond chance | +0.0000 (+0.0000 to +0.0000) |"
        in text
    )
    assert "| colakg-lastfm | no model is better beyond chance | 1 of 6 compared | not run |" in text
    assert "| `lightgcn` | 0.2500 | 0.2500 | 0.2500 | 0.2500 | +0.5000 (+0.3500 to +0.6500)** |" in text


def test_gates_are_means_over_seeds(records):
    for seed, share in enumerate((0.2, 0.4)):
        run = run_of("recmind", seed=seed)
        record = write_record(records, run, GOOD)
        gates = (GatePart(part="items 1-9", num_nodes=7, means=(share, 0.5)),)
        records.save(record.model_copy(update={"gates": gates}), np.array(GOOD), np.ones(40, np.int64))
    study = Study.read([*minimum(), *queue()], records)
    lines = list(questions.answers(study, RankMetrics(records), LASTFM))
    assert "| items 1-9 | 7 | 0.300 | 0.500 | `████████············` |" in lines


def test_users_are_compared_by_group(records):
    write_record(records, run_of("recmind"), GOOD)
    write_record(records, run_of("lightgcn", "plain"), BAD)
    codes = np.array([0] * 20 + [1] * 20)
    records.describe_users(LASTFM, [Cut("gender", ("F", "M"), codes)])
    study = Study.read([*minimum(), *queue()], records)
    lines = list(questions.answers(study, RankMetrics(records), LASTFM))
    assert "| gender | F | 20 | 1.0000 | 0.5000 | +0.5000 |" in lines
    assert "| gender | M | 20 | 0.5000 | 0.0000 | +0.5000 |" in lines


def test_items_are_cut_by_training_users(records):
    record = write_record(records, run_of("recmind"), [0, 30, 39, 40])
    assert set(records.pairs(LASTFM).item_degrees) == {5}
    metrics, study = RankMetrics(records), Study.read(minimum(), records)
    group = study.group(LASTFM, "recmind", "text")
    assert metrics.item_part(group, lambda degrees: degrees == 5, "recall@40") == 0.75
    assert metrics.item_part(group, questions.RARE, "recall@40") is None
    assert metrics.mean(group, "recall@20") == 0.25
    assert record.run.name == "colakg-lastfm/recmind/text/seed-0"
