"""What the document of LGHRec says of records made by hand."""

import pytest
from study_world import write_record

from scripts.study.comparisons import Comparisons
from scripts.study.lghrec import BACKBONES, minimum
from scripts.study.lghrec_document import render, rows_of
from scripts.study.records import Records
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


def test_the_long_tail_is_compared_with_a_fixed_temperature(records):
    write_record(records, run_of("lghrec", "text-lightgcn"), GOOD)
    write_record(records, run_of("lghrec", "text-fixed-temperature"), BAD)
    text = render(records, Comparisons(records))
    assert "items of degree < 10 | 0.7500 against 0.2500 | reached |" in text
    assert "| fixed temperature | 0.2500 | 0.2500 | +0.5000 (+0.3500 to +0.6500)** |" in text
