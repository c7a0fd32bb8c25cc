"""What the document of LGHRec says of records made by hand."""

import json

import pytest
from lghrec_world import BAD, GOOD, run_of, with_rare_items
from study_world import write_record

from scripts.study.comparisons import Comparisons
from scripts.study.lghrec import BACKBONES, FIXED_GRID
from scripts.study.lghrec_document import render
from scripts.study.lghrec_targets import BASE, rows_of
from scripts.study.records import Records


@pytest.fixture
def records(tmp_path) -> Records:
    return Records(tmp_path / "runs")


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


def test_without_records_no_target_is_judged(records):
    text = render(records, Comparisons(records))
    lines = [line for line in text.splitlines() if line.startswith("| colakg-lastfm |")]
    targets = lines[2:7]  # the first two say what was run
    assert all(line.endswith("| not run |") for line in targets)
    assert (
        "peak memory with HGPO ≤ 1.5 times the contrastive model's | not measured | not run |" in targets[-1]
    )
    assert "colakg-lastfm: not run.\n" in text


def test_what_hgpo_costs_is_what_the_benchmark_recorded(records):
    rows = {"sgl": (30.0, 20.0, 0.7), "lightgcn": (20.0, 20.0, 1.0)}
    claims = [
        {"name": f"{what} `lghrec` on `{backbone}`", "peer": "`sgl` alone", "unit": unit}
        | {"ours": ours, "theirs": theirs, "ratio": ratio / (2 if unit == "ms/step" else 1)}
        for what, unit in (("step of", "ms/step"), ("peak memory of training", "MB"))
        for backbone, (ours, theirs, ratio) in rows.items()
    ]
    path = records.folder.parent / "benchmarks" / "hgpo_step_colakg-lastfm.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"claims": claims}), encoding="utf-8")
    text = render(records, Comparisons(records))
    step = "2.86 on `sgl` beside `sgl` alone, 2.00 on `lightgcn` beside `sgl` alone | **not reached** |"
    assert f"step with HGPO ≤ 1.5 times the contrastive model's, by the benchmark | {step}" in text
    assert (
        "model's | 1.43 on `sgl` beside `sgl` alone, 1.00 on `lightgcn` beside `sgl` alone | reached |"
        in text
    )
    assert "| step of `lghrec` on `sgl` | `sgl` alone | 30 | 20 | ms/step | 2.86 | **not reached** |" in text
    assert "amazon14-beauty: not run.\n" in text


def test_records_of_earlier_code_decide_nothing(records):
    rows = rows_of("lightgcn")
    write_record(records, run_of(*rows["as it is"]), BAD)
    write_record(records, run_of(*rows["+ both"]), GOOD, key="earlier")
    text = render(records, Comparisons(records))
    assert "beyond chance, for ≥ 7 of 9 | 0 of 0 that were run | not run |" in text
    assert "| `lightgcn` | 0.2500 | not run | not run | 0.7500† |" in text
    assert "| + both | 0.7500 |" not in text


def write_fixed(records: Records, value: str, validation: float, better: list[int], seed: int = 0) -> None:
    run = run_of("lghrec", f"text-{FIXED_GRID[value]}", seed)
    write_record(records, run, better, validation={"ndcg@20": validation})


def fixed_target(records: Records) -> str:
    text = render(records, Comparisons(records))
    return next(
        line for line in text.splitlines() if "HGPO above the fixed τ that validation chooses" in line
    )


def test_the_long_tail_is_compared_with_a_fixed_temperature(records):
    write_record(records, run_of("lghrec", "text-lightgcn"), GOOD)
    write_fixed(records, "0.2", 0.3, BAD)
    text = render(records, Comparisons(records))
    target = (
        "HGPO above the fixed τ that validation chooses, in NDCG@20 of items of degree < 10, beyond chance"
    )
    difference = "+0.5000 (+0.3500 to +0.6500)**"
    against = "0.2500 of τ = 0.2 (not tuned, run: 0.2)"
    assert f"| {target} | 0.7500 against {against}, {difference} | reached, not tuned |" in text
    assert f"| fixed temperature | 0.2500 | 0.2500 | 0.2500 | {difference} |" in text


def test_validation_chooses_the_fixed_temperature_and_tuned_means_all_were_run(records):
    write_record(records, run_of("lghrec", "text-lightgcn"), GOOD)
    write_fixed(records, "0.2", 0.3, GOOD)  # better on the test part, worse on the validation part
    write_fixed(records, "0.5", 0.4, BAD)
    said = "0.2500 of τ = 0.5 (not tuned, run: 0.2, 0.5)"
    assert f"| 0.7500 against {said}, +0.5000" in fixed_target(records)
    write_fixed(records, "0.1", 0.2, BAD)
    line = fixed_target(records)
    assert "0.2500 of τ = 0.5 (tuned, of 0.1, 0.2, 0.5), +0.5000" in line
    assert line.endswith("| reached |")


def test_fixed_temperatures_are_chosen_on_the_seeds_that_all_of_them_have(records):
    write_record(records, run_of("lghrec", "text-lightgcn"), GOOD)
    for seed, validation in enumerate((0.3, 0.9, 0.9)):
        write_fixed(records, "0.2", validation, GOOD, seed)
    write_fixed(records, "0.1", 0.4, BAD)
    assert "of τ = 0.1 (not tuned, run: 0.1, 0.2)" in fixed_target(records)


def test_fixed_temperatures_of_no_common_seed_choose_none(records):
    write_record(records, run_of("lghrec", "text-lightgcn"), GOOD)
    write_fixed(records, "0.2", 0.3, BAD, seed=1)
    write_fixed(records, "0.1", 0.4, BAD, seed=0)
    assert fixed_target(records).endswith("| not run | not run |")


def test_a_little_more_on_the_long_tail_is_chance(records):
    write_record(records, run_of("lghrec", "text-lightgcn"), [0] * 11 + [50] * 29)
    for value in FIXED_GRID:
        write_fixed(records, value, 0.3, BAD)
    line = fixed_target(records)
    assert "| 0.2750 against 0.2500 of τ = 0.1 (tuned, of 0.1, 0.2, 0.5), +0.0250 (+0.0000 to" in line
    assert line.endswith("| **not reached** |")


def test_controls_stand_on_the_long_tail_too_by_current_records(records):
    write_record(records, run_of("lghrec", "text-lightgcn"), GOOD)
    write_record(records, run_of("lghrec", "text-no-groups-no-harmony"), [0] * 20 + [50] * 20)
    write_record(records, run_of("lghrec", "text-no-harmony"), BAD, key="earlier")
    with_rare_items(records)
    lines = render(records, Comparisons(records)).splitlines()
    rows = [line.split(" | ")[:4] for line in lines]
    assert ["| model", "Recall@20", "NDCG@20", "NDCG@20, items of degree < 10"] in rows
    assert ["| `lghrec` on LightGCN", "0.7500", "0.7500", "1.0000"] in rows
    assert ["| no groups no harmony", "0.5000", "0.5000", "0.6667"] in rows
    assert ["| no harmony", "0.2500†", "0.2500†", ""] in rows


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


def test_forms_of_a_backbone_stand_in_one_line_by_the_seeds_that_all_have(records):
    rows = rows_of("lightgcn")
    write_record(records, run_of(*rows[BASE], 0), BAD)
    write_record(records, run_of(*rows[BASE], 1), GOOD)
    write_record(records, run_of(*rows["+ both"], 0), BAD)
    text = render(records, Comparisons(records))
    assert "| `lightgcn` | 0.2500 | not run | not run | 0.2500 |" in text
    write_record(records, run_of(*rows["+ both"], 1), GOOD)
    assert (
        "| `lightgcn` | 0.5000 ± 0.3536 (2 of 3) | not run | not run | 0.5000 ± 0.3536 (2 of 3) |"
        in render(records, Comparisons(records))
    )
