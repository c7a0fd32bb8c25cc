"""What the document of LGHRec says in words, and of variants, of records made by hand."""

import pytest
from lghrec_world import BAD, GOOD, run_of, with_rare_items
from study_world import write_record

from recommender.hgpo.reading import ChoiceReading, PolicyReading, TemperatureReading
from scripts.study.comparisons import Comparisons
from scripts.study.lghrec import BACKBONES
from scripts.study.lghrec_document import render
from scripts.study.lghrec_reading import words_of
from scripts.study.lghrec_targets import BASE, CONTROL_ROWS, HGPO_CONTROLS, OURS, rows_of
from scripts.study.records import Records


@pytest.fixture
def records(tmp_path) -> Records:
    return Records(tmp_path / "runs")


def test_what_the_policies_learned_is_a_mean_over_seeds(records):
    def reading(side: str, reward: float, evenness: float) -> PolicyReading:
        temperature = TemperatureReading(0.2, 0.01, 0.21, reward, -0.1)
        choice = ChoiceReading(0.1, 0.1, 0.3, 0.3, evenness)
        return PolicyReading(side, "≤ 10", 10, 50, temperature, choice)

    for seed, reward in enumerate((-0.01, -0.02)):
        policy = (reading("users", reward, 1.0), reading("items", reward, 0.994))
        write_record(records, run_of(*OURS, seed), GOOD, policy=policy)
    text = render(records, Comparisons(records))
    assert "Of 2 seeds, after training" in text
    assert "| users ≤ 10 | 0.200 ± 0.010 | 0.210 | -0.015 (-0.100) | +0.100 (+0.100) |" in text
    assert "Temperatures earn more than the constant: R_τ -0.015, -0.100." in text
    said = "The choice of negatives is all but uniform (evenness 0.997) and earns about as much as uniform"
    assert said in text
    assert "A policy had taken 50 steps at the epoch that was kept." in text


def test_what_parts_give_counts_backbones_on_all_items_and_on_rare_ones(records):
    for backbone in BACKBONES[:3]:
        rows = rows_of(backbone)
        write_record(records, run_of(*rows[BASE]), BAD if backbone != "sgl" else GOOD)
        write_record(records, run_of(*rows["+ HGPO"]), GOOD if backbone != "sgl" else BAD)
    with_rare_items(records)
    text = render(records, Comparisons(records))
    assert "| all items | + HGPO | 2 | 1 | 3 |" in text
    assert "| items of degree < 10 | + HGPO | 2 | 1 | 3 |" in text
    assert "| `xsimgcl` | 0.3333 | not run | 1.0000** | not run |" in text


def test_lghrec_is_read_beside_its_controls_and_beside_what_validation_would_choose(records):
    write_record(records, run_of(*OURS), GOOD, validation={"ndcg@20": 0.2})
    worse = run_of("lghrec", "text-no-harmony")
    write_record(records, worse, BAD, validation={"ndcg@20": 0.1})
    write_record(records, run_of("lghrec", "text-no-entropy"), GOOD, validation={"ndcg@20": 0.1})
    found = Comparisons(records)
    text = render(records, found)
    assert "LGHRec is above *no harmony*, below none; no difference beyond chance: *no entropy*." in text
    assert "Of 3 variants that were run, validation (NDCG@20, seed 0) chooses the defaults." in text
    write_record(records, worse, BAD, validation={"ndcg@20": 0.3})
    text = render(records, found)
    assert "chooses *no harmony*. LGHRec at its defaults minus it, in NDCG@20 of the test part: +0.5" in text


def test_the_policy_is_told_from_one_more_contrast_on_every_backbone(records):
    write_record(records, run_of("lghrec", "text-sgl"), GOOD)
    write_record(records, run_of("lghrec", "text-sgl-no-policy"), BAD)
    text = render(records, Comparisons(records))
    assert "### The policy, or one more contrast?" in text
    assert "| `sgl` | +0.5000 (" in text
    assert "| `ngcf` | not run | not run |" in text


def test_validation_chooses_the_weight_of_the_contrast_on_every_backbone(records):
    for backbone, is_lighter in (("ngcf", True), ("sgl", False)):
        write_record(records, run_of(backbone, "plain"), BAD)
        both, light = (f"text-{backbone}", f"text-{backbone}-weight-0.01")
        write_record(records, run_of("lghrec", both), BAD, validation={"ndcg@20": 0.2})
        found = 0.3 if is_lighter else 0.1
        write_record(records, run_of("lghrec", light), GOOD, validation={"ndcg@20": found})
    text = render(records, Comparisons(records))
    assert "| `ngcf` | 0.01 | 1 | +0.5000 (" in text
    assert "| `sgl` | 0.1 | 1 | +0.0000 (" in text
    assert "| `bpr_mf` | not run |  |  |" in text
    assert "Better beyond chance: 1 of 2 that were run. The target of 7, with these weights: not run." in text


def test_missed_targets_have_reasons_where_the_records_show_them(records):
    choice = ChoiceReading(0.1, 0.1, 0.3, 0.3, 0.999)
    policy = (PolicyReading("users", "≤ 10", 10, 170, None, choice),)
    write_record(records, run_of(*OURS), BAD, policy=policy)
    write_record(records, run_of("lightgcn", "plain"), GOOD)
    write_record(records, run_of("lghrec", "text-ideal-temperature"), GOOD)
    text = render(records, Comparisons(records))
    assert "* The choice of negatives hardly learns at the released code's settings: 170 steps" in text
    assert "leave it at 0.999 of the largest entropy." in text
    assert "* On items of degree < 10 HGPO is below *ideal temperature* (-0.5" in text
    assert "* Worse than the backbone beyond chance: *+ both*: `lightgcn`." in text


def test_without_records_no_reason_is_given(records):
    assert "What we think is the reason" not in render(records, Comparisons(records))


def test_policies_that_learn_are_told_of_in_words(records):
    def reading(evenness: float) -> PolicyReading:
        return PolicyReading("items", "all", 10, 50, None, ChoiceReading(0.3, 0.1, 0.3, 0.3, evenness))

    write_record(records, run_of(*OURS), BAD, policy=(reading(0.999),))
    write_record(records, run_of("lghrec", "text-policy-rate-1e-2"), GOOD, policy=(reading(0.2),))
    with_rare_items(records)
    text = render(records, Comparisons(records))
    assert (
        "*policy rate 1e-2*: The choice of negatives is not uniform (evenness 0.200) and earns more" in text
    )
    assert "Of all items, better than it beyond chance: *policy rate 1e-2*; worse: none." in text


def test_a_test_has_one_mark_wherever_it_is_told(records):
    """Differences so small that the size of the family decides about marks."""
    for number, row in enumerate(CONTROL_ROWS):
        num_worse = 3 + 7 * (number % 3)
        worse = [50] * num_worse + GOOD[num_worse:]
        write_record(records, run_of(*row), worse, validation={"ndcg@20": 0.1})
    write_record(records, run_of(*OURS), GOOD)
    lines = render(records, Comparisons(records)).splitlines()
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in lines if line.startswith("| ")}
    above = next(line for line in lines if line.startswith("NDCG@20 of all items: LGHRec is above"))
    named = above.partition("above ")[2].partition(", below")[0]
    marks = {row: "*" in cells[words_of(row)][4] for row in HGPO_CONTROLS}
    assert len(set(marks.values())) == 2
    assert all(is_marked == (f"*{words_of(row)}*" in named) for row, is_marked in marks.items())
