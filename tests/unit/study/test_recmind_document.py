"""What the document of RecMind says of records made by hand."""

import json

import numpy as np
import pytest
from study_world import FACTS, write_record

from recommender.evaluation.strata import Cut
from scripts.study import core
from scripts.study import recmind_questions as questions
from scripts.study.beside import Sources
from scripts.study.comparisons import Comparisons
from scripts.study.groups import Study
from scripts.study.item_parts import ItemPart
from scripts.study.rank_metrics import RankMetrics
from scripts.study.recmind import minimum, queue
from scripts.study.recmind_document import render
from scripts.study.recmind_targets import RARE, rivals
from scripts.study.records import Pairs, Records
from scripts.study.runs import GatePart, Run

LASTFM = "colakg-lastfm"
GOOD, BAD = [0] * 30 + [50] * 10, [0] * 10 + [50] * 30
DECLARED = {run.name: run for run in (*core.minimum(), *core.queue(), *minimum())}


@pytest.fixture
def records(tmp_path) -> Records:
    return Records(tmp_path / "runs")


def run_of(model: str, label: str = "text", seed: int = 0) -> Run:
    return DECLARED[f"{LASTFM}/{model}/{label}/seed-{seed}"]


def test_without_records_everything_is_not_run(records):
    text = render(records, Comparisons(records))
    assert "| colakg-lastfm | Recall@40 ≥ 4 % over LightGCN | not run | not run |" in text
    assert "Nothing has been run." in text


def sources(records: Records) -> Sources:
    study = Study.read([*minimum(), *queue()], records)
    return Sources(study, RankMetrics(records), Comparisons(records))


def saved(records: Records, run: Run, better: list[int], **changes: object) -> None:
    """A record with something changed."""
    record = write_record(records, run, better).model_copy(update=changes)
    records.save(record, np.array(better), np.ones(len(better), np.int64))


def line_of(text: str, target: str, dataset: str = LASTFM) -> str:
    """What a line of targets says after its name."""
    start = f"| {dataset} | {target} | "
    return next(line for line in text.splitlines() if line.startswith(start)).removeprefix(start)


def test_targets_are_judged_by_the_records(records):
    write_record(records, run_of("recmind"), GOOD)
    write_record(records, run_of("lightgcn", "plain"), BAD)
    write_record(records, run_of("recmind", "text-no-alignment"), GOOD)
    text = render(records, Comparisons(records))
    assert line_of(text, "Recall@40 ≥ 4 % over LightGCN") == "+200.0% | reached |"
    assert line_of(text, "removing the alignment costs, beyond chance") == (
        "+0.0000 (+0.0000 to +0.0000) | **not reached** |"
    )
    assert (
        "| model | Recall@20 | NDCG@20 | Recall@40 | NDCG@40 | Recall@40: RecMind minus it | NDCG@20" in text
    )
    difference = "+0.5000 (+0.3500 to +0.6500)**"
    assert f"| `lightgcn` | 0.2500 | 0.2500 | 0.2500 | 0.2500 | {difference} | {difference} |" in text


def test_rivals_are_all_graph_models_with_texts_and_without():
    rows = rivals(LASTFM)
    assert set(rows) == {
        *((model, label) for model in core.GRAPH_MODELS for label in ("plain", "text")),
        ("rlmrec", "text"),
        ("alpharec", "text"),
    }
    assert len(rows) == 24


def test_a_better_model_decides_before_all_are_run(records):
    target = "no model is better beyond chance"
    write_record(records, run_of("recmind"), [25] * 20 + [50] * 20)  # nothing at 20, half at 40
    text = render(records, Comparisons(records))
    assert line_of(text, target) == "0 of 24 compared | not run |"
    write_record(records, run_of("lightgcn", "plain"), [50] * 40)
    text = render(records, Comparisons(records))
    assert line_of(text, target) == (
        "Recall@40: none is better; NDCG@20: none is better (1 of 24 compared) | not run |"
    )
    write_record(records, run_of("mixgcf"), [0] * 20 + [50] * 20)
    text = render(records, Comparisons(records))
    assert line_of(text, target) == (
        "Recall@40: none is better; NDCG@20: better: `mixgcf` + text by 0.5000 (2 of 24 compared) | "
        "**not reached** |"
    )


def test_at_most_three_better_models_are_named_those_with_most_first(records):
    write_record(records, run_of("recmind"), BAD)
    for number, model in enumerate(("simgcl", "sgl", "ncl", "ngcf", "mixgcf")):
        write_record(records, run_of(model, "plain"), [0] * (26 + number) + [50] * (14 - number))
    said = line_of(render(records, Comparisons(records)), "no model is better beyond chance")
    named = "`mixgcf` by 0.5000, `ngcf` by 0.4750, `ncl` by 0.4500 and 2 more"
    assert said.startswith(f"Recall@40: better: {named}; NDCG@20: better: {named} (5 of 24 compared)")


def test_the_best_is_reached_once_all_were_run(records):
    write_record(records, run_of("recmind"), GOOD)
    for row in rivals(LASTFM):
        write_record(records, run_of(*row), BAD)
    assert line_of(render(records, Comparisons(records)), "no model is better beyond chance") == (
        "Recall@40: none is better; NDCG@20: none is better (24 of 24 compared) | reached |"
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ([0] * 39 + [50], [0] * 38 + [50, 50], "+2.6% (0.9500 to 0.9750), +0.0250"),
        (GOOD, BAD, "+200.0% (0.2500 to 0.7500), +0.5000 (+0.3500 to +0.6500)**, p 0.0002, 40 pairs"),
    ],
)
def test_gains_on_rare_items_must_be_larger_and_beyond_chance(records, monkeypatch, ours, theirs, said):
    monkeypatch.setattr("scripts.study.recmind_targets.RARE", ItemPart(most=5))  # degrees are all five
    write_record(records, run_of("recmind"), ours)
    write_record(records, run_of("lightgcn", "plain"), theirs)
    text = render(records, Comparisons(records))
    line = line_of(text, "more than that for items of degree ≤ 5, beyond chance")
    assert line.startswith(said)
    assert line.endswith("**not reached** |")  # nothing is rarer than the rest: as large a gain as overall


def test_a_larger_gain_on_rare_items_beyond_chance_is_reached(records):
    for model, label, found in (("recmind", "text", 30), ("lightgcn", "plain", 10)):
        write_record(records, run_of(model, label), [0] * found + [50] * (30 - found) + [0] * 10)
    degrees = np.array([2] * 30 + [50] * 10)
    (records.folder / LASTFM / "dataset.json").unlink()
    records.describe(LASTFM, FACTS, Pairs(np.arange(40), degrees, np.full_like(degrees, 4)))
    said = line_of(
        render(records, Comparisons(records)), "more than that for items of degree ≤ 3, beyond chance"
    )
    assert said.startswith("+200.0% (0.3333 to 1.0000), +0.6667 (")
    assert said.endswith("**, p 0.0002, 30 pairs | reached |")


def test_records_of_earlier_code_give_no_derived_figure(records):
    write_record(records, run_of("recmind"), GOOD, key="earlier")
    write_record(records, run_of("lightgcn", "plain"), BAD)
    records.describe_users(LASTFM, [Cut("gender", ("F", "M"), np.array([0] * 20 + [1] * 20))])
    text = render(records, Comparisons(records))
    assert line_of(text, "Recall@40 ≥ 4 % over LightGCN") == "not run | not run |"
    assert line_of(text, "no model is better beyond chance") == "0 of 24 compared | not run |"
    assert "| `recmind` | 0.7500† | 0.7500† | 0.7500† | 0.7500† |  |  |" in text
    assert "| `lightgcn` | 0.2500 | 0.2500 | 0.2500 | 0.2500 |  |  |" in text
    parts = text[text.index("### Recall@40 of test pairs") :].partition("\n#")[0]
    assert "| `lightgcn` |" in parts
    assert "`recmind`" not in parts
    assert "### Recall@40 by groups of users" not in text
    assert "### Warm-up" not in text


def test_the_benchmark_decides_the_cost(records):
    target = "a step in ≤ 1.5 times LightGCN's, by the benchmark"
    write_record(records, run_of("recmind"), GOOD)
    text = render(records, Comparisons(records))
    assert line_of(text, target) == "not run | not run |"
    assert "colakg-lastfm: not run." in text
    claims = [
        {"name": name, "ours": ours, "theirs": 10.0, "unit": unit, "ratio": 10.0 / ours}
        for name, ours, unit in (
            ("RecMind, step", 40.0, "ms/step"),
            ("RecMind, training", 12.0, "MB"),
            ("RecMind without alignment, step", 14.0, "ms/step"),
        )
    ]
    path = records.folder.parent / "benchmarks" / "recmind_step_colakg-lastfm.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"claims": claims}))
    text = render(records, Comparisons(records))
    assert line_of(text, target) == "4.00; without alignment 1.40 | **not reached** |"
    assert "| colakg-lastfm | RecMind, training | 12 | 10 | MB | 1.20 | reached |" in text


def test_gates_are_means_over_current_seeds_and_say_where_they_begin(records):
    def lines(config: dict[str, float]) -> list[str]:
        for seed, share in enumerate((0.2, 0.4)):
            gates = (GatePart(part="items 1-9", num_nodes=7, means=(share, 0.5)),)
            saved(records, run_of("recmind", seed=seed), GOOD, gates=gates, config=config)
        gates = (GatePart(part="items 1-9", num_nodes=7, means=(1.0, 1.0)),)
        saved(records, run_of("recmind", seed=2), GOOD, gates=gates, key="earlier")
        return list(questions.answers(sources(records), LASTFM))

    assert "| items 1-9 | 7 | 0.300 | 0.500 | 0.600 `████████████████████` |" in lines({})
    found = lines({"first_gate": 0.9})
    assert "| items 1-9 | 7 | 0.300 | 0.500 | -0.500 | 0.600 `████████████████████` |" in found
    assert "Language does dominate in the layers of the rarest nodes: 0.600 of *items 1-9*.\n" in found
    assert any("All gates begin at 0.9: one that has hardly moved" in line for line in found)


def test_what_a_part_is_worth_follows_from_its_tests(records):
    write_record(records, run_of("recmind"), BAD)
    for label, better in (("shuffled", [50] * 40), ("text-late-fusion", GOOD), ("text-no-warm-up", BAD)):
        write_record(records, run_of("recmind", label), better)
    assert (
        "Beyond chance in Recall@40 or NDCG@20: worse than RecMind as it is are *shuffled vectors*, better "
        "*late fusion*. No difference beyond chance: *no warm up*."
    ) in render(records, Comparisons(records))


def test_reasons_are_those_that_the_records_show(records):
    heading, alignment = "### What we think is the reason", "* Removing the alignment costs nothing"
    gates = (GatePart(part="items 1-9", num_nodes=7, means=(0.99, 0.97)),)
    write_record(records, run_of("recmind"), GOOD)
    assert heading not in render(records, Comparisons(records))
    saved(records, run_of("recmind"), GOOD, gates=gates)
    text = render(records, Comparisons(records))
    assert "* On colakg-lastfm the gates close: nodes keep 0.980 of their own vectors, so that" in text
    assert alignment not in text
    assert "and late fusion, which has no gates, is no worse" not in text
    write_record(records, run_of("recmind", "text-late-fusion"), GOOD)
    write_record(records, run_of("recmind", "text-no-alignment"), GOOD)
    text = render(records, Comparisons(records))
    assert f"{alignment} beyond chance (colakg-lastfm)" in text
    assert "and late fusion, which has no gates, is no worse" in text
    write_record(records, run_of("recmind", "text-no-alignment"), BAD)
    assert alignment not in render(records, Comparisons(records))


def test_users_are_compared_by_group(records):
    write_record(records, run_of("recmind"), GOOD)
    write_record(records, run_of("lightgcn", "plain"), BAD)
    codes = np.array([0] * 20 + [1] * 20)
    records.describe_users(LASTFM, [Cut("gender", ("F", "M"), codes)])
    lines = list(questions.answers(sources(records), LASTFM))
    assert "| gender | F | 20 | 1.0000 | 0.5000 | +0.5000 (+0.3000 to +0.7000)** |" in lines
    assert "| gender | M | 20 | 0.5000 | 0.0000 | +0.5000 (+0.3000 to +0.7000)** |" in lines


def test_gates_and_late_fusion_are_told_apart_on_rare_items(records, monkeypatch):
    monkeypatch.setattr("scripts.study.recmind_questions.RARE", ItemPart(most=5))  # degrees are all five
    write_record(records, run_of("recmind"), GOOD)
    write_record(records, run_of("recmind", "text-late-fusion"), BAD)
    text = "\n".join(questions.answers(sources(records), LASTFM))
    said = "RecMind minus late fusion at ≤ 5: +0.5000 (+0.3500 to +0.6500)**, p 0.0002: gates are better."
    assert said in text
    write_record(records, run_of("recmind", "text-late-fusion"), GOOD)
    assert "p 1: no difference beyond chance." in "\n".join(questions.answers(sources(records), LASTFM))


def test_items_are_cut_by_training_users(records):
    record = write_record(records, run_of("recmind"), [0, 30, 39, 40])
    assert set(records.pairs(LASTFM).item_degrees) == {5}
    metrics, study = RankMetrics(records), Study.read(minimum(), records)
    group = study.group(LASTFM, "recmind", "text")
    assert metrics.item_part(group, lambda degrees: degrees == 5, "recall@40") == 0.75
    assert metrics.item_part(group, RARE.inside, "recall@40") is None
    assert metrics.mean(group, "recall@20") == 0.25
    assert record.run.name == "colakg-lastfm/recmind/text/seed-0"
