"""What the document of LGHRec says of records made by hand."""

import numpy as np
import pytest
from study_world import FACTS, write_record

from recommender.base import FitReport
from scripts.study.comparisons import Comparisons
from scripts.study.lghrec import BACKBONES, minimum
from scripts.study.lghrec_document import render
from scripts.study.lghrec_targets import rows_of
from scripts.study.records import Pairs, Records
from scripts.study.runs import Run

LASTFM = "colakg-lastfm"
GOOD, BAD = [0] * 30 + [50] * 10, [0] * 10 + [50] * 30
DECLARED = {run.name: run for run in minimum()}


@pytest.fixture
def records(tmp_path) -> Records:
    return Records(tmp_path / "runs")


def run_of(model: str, label: str, seed: int = 0) -> Run:
    return DECLARED[f"{LASTFM}/{model}/{label}/seed-{seed}"]


def test_every_form_of_every_backbone_is_declared():
    for backbone in BACKBONES:
        for seed in range(3):
            assert all(run_of(*row, seed) for row in rows_of(backbone).values())


def test_a_base_and_its_semantic_id_are_runs_of_the_backbone_itself():
    rows = rows_of("bpr_mf")
    assert [model for model, _ in rows.values()] == ["bpr_mf", "bpr_mf", "lghrec", "lghrec"]
    assert run_of(*rows["+ both"]).settings["backbone"] == "bpr_mf"
    assert run_of(*rows["+ semantic ID"]).settings["fusion"] == "concat"


def test_targets_count_backbones_that_both_make_better(records):
    for backbone in BACKBONES:
        rows = rows_of(backbone)
        write_record(records, run_of(*rows["as it is"]), BAD)
        write_record(records, run_of(*rows["+ both"]), GOOD if backbone != "ngcf" else BAD)
    text = render(records, Comparisons(records))
    assert "beyond chance, for ≥ 7 of 9 | 8 of 9 that were run | reached |" in text
    assert "| `xsimgcl` | 0.2500 | not run | not run | 0.7500** |" in text
    assert "| `ngcf` | 0.2500 | not run | not run | 0.2500 |" in text


def with_rare_items(records: Records) -> None:
    """The first thirty test items have two training users each, the others fifty."""
    degrees = np.array([2] * 30 + [50] * 10)
    (records.folder / LASTFM / "dataset.json").unlink()
    records.describe(LASTFM, FACTS, Pairs(np.arange(40), degrees, np.full_like(degrees, 4)))


def test_without_records_no_target_is_judged(records):
    text = render(records, Comparisons(records))
    lines = [line for line in text.splitlines() if line.startswith("| colakg-lastfm |")]
    targets = lines[2:7]  # the first two say what was run
    assert all(line.endswith("| not run |") for line in targets)
    assert "HGPO on LightGCN ≤ 1.5 times SGL's memory | not measured | not run |" in targets[-1]


def test_records_of_earlier_code_decide_nothing(records):
    rows = rows_of("lightgcn")
    write_record(records, run_of(*rows["as it is"]), BAD)
    write_record(records, run_of(*rows["+ both"]), GOOD, key="earlier")
    text = render(records, Comparisons(records))
    assert "beyond chance, for ≥ 7 of 9 | 0 of 0 that were run | not run |" in text
    assert "| `lightgcn` | 0.2500 | not run | not run | 0.7500† |" in text
    assert "| + both | 0.7500 |" not in text


def test_the_long_tail_is_compared_with_a_fixed_temperature(records):
    write_record(records, run_of("lghrec", "text-lightgcn"), GOOD)
    write_record(records, run_of("lghrec", "text-fixed-temperature"), BAD)
    text = render(records, Comparisons(records))
    target = "HGPO above a fixed τ, the default one and not tuned, in NDCG@20 of items of degree < 10, beyond"
    difference = "+0.5000 (+0.3500 to +0.6500)**"
    assert f"{target} chance | 0.7500 against 0.2500, {difference} | reached |" in text
    assert f"| fixed temperature | 0.2500 | 0.2500 | {difference} |" in text


def test_a_little_more_on_the_long_tail_is_chance(records):
    write_record(records, run_of("lghrec", "text-lightgcn"), [0] * 11 + [50] * 29)
    write_record(records, run_of("lghrec", "text-fixed-temperature"), BAD)
    text = render(records, Comparisons(records))
    line = next(line for line in text.splitlines() if "above a fixed τ" in line)
    assert "| 0.2750 against 0.2500, +0.0250 (+0.0000 to" in line
    assert line.endswith("| **not reached** |")


@pytest.mark.parametrize(("worse", "said"), [(4, "5 of 9 that were run | reached"), (5, "4 of 9")])
def test_gains_are_larger_on_the_long_tail_of_most_backbones(records, worse, said):
    rare, common = [0] * 10 + [50] * 20, [50] * 5 + [0] * 5
    for number, backbone in enumerate(BACKBONES):
        rows = rows_of(backbone)
        write_record(records, run_of(*rows["as it is"]), rare + common)
        both = rare + [0] * 10 if number < worse else [0] * 30 + common
        write_record(records, run_of(*rows["+ both"]), both)
    with_rare_items(records)
    target = "both gain a larger share of NDCG@20 for items of degree < 10 than for all, on most backbones"
    assert f"| {target} | {said}" in render(records, Comparisons(records))


def test_the_time_of_an_epoch_stands_beside_sgls(records):
    for model, label, seed, milliseconds in (
        ("lghrec", "plain-lightgcn", 0, 9.0),
        ("sgl", "plain", 0, 6.0),
        ("sgl", "plain", 1, 1.0),
    ):
        record = write_record(records, run_of(model, label, seed), GOOD)
        fit = FitReport(epochs=1, best_epoch=1, seconds=1.0, step_milliseconds=milliseconds)
        changed = record.model_copy(update={"fit": fit, "config": {"batch_size": 64}})
        records.save(changed, np.array(GOOD), np.ones(40, np.int64))
    text = render(records, Comparisons(records))
    said = "time per epoch, steps of the runs, no benchmark | 1.50, 1 seed each | a reading: within |"
    assert f"| HGPO on LightGCN ≤ 1.5 times SGL's {said}" in text
