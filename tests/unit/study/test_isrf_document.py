"""What the document of ISRF says of records made by hand."""

import json

import pytest
import study_world
from study_world import FACTS, write_record

from recommender.registry import find_model, parse_settings
from scripts.study import isrf_questions as questions
from scripts.study.comparisons import Comparisons
from scripts.study.isrf import GRAPHS, MODEL, TEXT_SETS, by_items, minimum, ours, queue, row_of
from scripts.study.isrf_document import render
from scripts.study.records import Records
from scripts.study.runs import Run

LASTFM, BEAUTY = "colakg-lastfm", "amazon14-beauty"
GOOD, MIDDLE, BAD = [0] * 30 + [50] * 10, [0] * 20 + [50] * 20, [0] * 10 + [50] * 30
DECLARED = {run.name: run for run in [*minimum(), *queue()]}


@pytest.fixture
def records(tmp_path) -> Records:
    return Records(tmp_path / "runs")


def run_of(dataset: str, model: str, label: str, seed: int = 0) -> Run:
    return DECLARED[f"{dataset}/{model}/{label}/seed-{seed}"]


def written(records: Records) -> str:
    return render(records, Comparisons(records))


def test_runs_are_declared_once_and_what_tells_most_comes_first():
    names = [run.name for run in (*minimum(), *queue())]
    assert len(names) == len(set(names))
    assert names[:3] == [
        "amazon14-beauty/isrf/text-sequential/seed-0",
        "amazon14-beauty/isrf/text-sequential-no-graph/seed-0",
        "colakg-lastfm/isrf/both/seed-0",
    ]


def test_the_model_takes_the_settings_of_every_run():
    config_type = find_model(MODEL).config_type
    for run in DECLARED.values():
        if run.model == MODEL:
            config = parse_settings(config_type, run.settings)
            assert config.task == ("sequential" if "sequential" in run.label.split("-") else "direct")
    config = parse_settings(config_type, ours(BEAUTY, "sequential", "no-graph").settings)
    assert (config.user_graph, config.init_std, config.num_layers) == ("none", 0.02, 2)


def test_only_a_graph_of_users_reads_their_texts():
    for dataset in TEXT_SETS:
        assert row_of(dataset, "direct") == (MODEL, "both")
        assert row_of(dataset, "direct", "no-texts") == (MODEL, "both-no-texts")
        assert by_items(dataset, "sequential") == (MODEL, "text-sequential")
        assert all(row_of(dataset, "direct", graph) == (MODEL, f"text-{graph}") for graph in GRAPHS)
    assert row_of(BEAUTY, "sequential") == (MODEL, "text-sequential")
    assert by_items(BEAUTY, "direct") is None


def test_without_records_everything_is_not_run(records):
    text = written(records)
    assert (
        "| amazon14-beauty | sequential | HR@10 at least the counting control's 0.0829 | not run | not run |"
        in text
    )
    assert "NCL and XSimGCL, beyond chance | above 0 of 0 that were run, 0 of 3 seeds | not run |" in text
    assert (
        "| colakg-lastfm | direct | NDCG@20 | not run | not run | not run | not run | not run | not run |"
        in text
    )
    assert "`benchmarks/isrf_step.py`: not run." in text
    assert "(uPos, uNeg, vPos, vNeg): not run." in text


def test_targets_are_judged_by_the_records(records):
    write_record(records, run_of(BEAUTY, MODEL, "text-sequential"), GOOD)
    write_record(records, run_of(LASTFM, MODEL, "text"), GOOD)
    for model, better in (("lightgcn", BAD), ("ncl", BAD), ("xsimgcl", GOOD)):
        write_record(records, run_of(LASTFM, model, "plain"), better)
    text = written(records)
    assert "NDCG@10 at least EnsRec's, the best published without a leak, 0.0565 | 0.7500 | reached |" in text
    assert (
        "above LightGCN, NCL and XSimGCL, beyond chance | above 2 of 3 that were run, 1 of 3 seeds | "
        "**not reached** |" in text
    )
    assert "| model | Recall@20 | NDCG@20 | NDCG@20: `isrf`, direct, minus it |" in text
    assert "| `isrf`, direct | 0.7500 | 0.7500 |  |" in text
    assert "| `lightgcn` | 0.2500 | 0.2500 | +0.5000 (+0.3500 to +0.6500)** |" in text


def test_what_knows_validation_events_by_texts_of_users_reaches_no_target(records):
    write_record(records, run_of(LASTFM, MODEL, "both"), GOOD)
    for model in ("lightgcn", "ncl", "xsimgcl"):
        write_record(records, run_of(LASTFM, model, "plain"), BAD)
    above = "| colakg-lastfm | direct | NDCG@20 of `isrf`, direct, above LightGCN, NCL and XSimGCL"
    assert f"{above}, beyond chance | above 0 of 0 that were run, 0 of 3 seeds | not run |" in written(
        records
    )
    write_record(records, run_of(LASTFM, MODEL, "text"), BAD)
    text = written(records)
    assert f"{above}, beyond chance | above 0 of 3 that were run, 1 of 3 seeds | **not reached** |" in text
    assert (
        "| `isrf`, direct, users by their texts | 0.7500 | 0.7500 | -0.5000 (-0.6500 to -0.3500)** |" in text
    )


def test_records_of_earlier_code_decide_nothing(records):
    write_record(records, run_of(BEAUTY, MODEL, "text-sequential"), GOOD, key="earlier")
    write_record(records, run_of(LASTFM, MODEL, "text"), GOOD)
    write_record(records, run_of(LASTFM, "ncl", "plain"), BAD, key="earlier")
    text = written(records)
    assert "HR@10 at least the counting control's 0.0829 | not run | not run |" in text
    assert "| `ncl` | 0.2500† | 0.2500† |  |" in text
    assert "beyond chance | above 0 of 0 that were run, 0 of 3 seeds | not run |" in text


def test_groups_are_asked_for_beside_every_other_graph(records):
    write_record(records, run_of(LASTFM, MODEL, "both"), GOOD)
    write_record(records, run_of(LASTFM, MODEL, "text-no-graph"), BAD)
    write_record(records, run_of(LASTFM, MODEL, "text-random-graph"), GOOD)
    line = next(line for line in written(records).splitlines() if "not by likeness" in line)
    assert line == (
        "| colakg-lastfm | direct | NDCG@20 | +0.5000 (+0.3500 to +0.6500)** | +0.0000 (+0.0000 to +0.0000) "
        "| not run | not run | not run | **not by likeness**: random neighbours do as well |"
    )


@pytest.mark.parametrize(
    ("decided", "expected"),
    [
        ({"no graph": 1}, "not run"),
        ({"no graph": -1, "a random graph": 1}, "**no**: it is better without a graph"),
        ({"no graph": 0, "a random graph": 1}, "**no**: nothing beyond chance over no graph"),
        ({"no graph": 1, "a random graph": 0}, "**not by likeness**: random neighbours do as well"),
        (
            {"no graph": 1, "a random graph": 1},
            "**yes**: more than without a graph, and than with a random one",
        ),
        (
            {"no graph": 1, "a random graph": 1, "a graph of interactions": -1},
            "**yes**, but users are better compared by what they had",
        ),
    ],
)
def test_the_answer_follows_the_tests(decided, expected):
    assert questions.answered(decided) == expected


def test_users_with_one_test_item_are_ranked_among_negatives_too(records, monkeypatch):
    monkeypatch.setattr(study_world, "FACTS", FACTS.model_copy(update={"num_items": 206}))
    write_record(records, run_of(BEAUTY, MODEL, "text-sequential"), [0] * 40)
    write_record(records, run_of(BEAUTY, "sasrec", "plain"), [200] * 40)
    text = written(records)
    lines = text[text.index("### Among 99 sampled negatives") :].splitlines()
    assert "| model | HR@5 | NDCG@5 | HR@10 | NDCG@10 | HR@10, published | NDCG@10, published |" in lines
    assert "| `isrf`, sequential | 1.0000 | 1.0000 | 1.0000 | 1.0000 |  |  |" in lines
    assert "| `sasrec` | 0.0000 | 0.0000 | 0.0000 | 0.0000 |  |  |" in lines
    assert "| `lightgcn` | not run | not run | not run | not run | 0.5383 | 0.3451 |" in lines
    assert "texts of users hold test items; whether LightGCN, NCL and XSimGCL learned from" in text


def test_parts_taken_out_are_compared_with_the_whole(records):
    write_record(records, run_of(BEAUTY, MODEL, "text-sequential"), GOOD)
    write_record(records, run_of(BEAUTY, MODEL, "text-sequential-no-texts"), MIDDLE)
    text = written(records)
    part = text[text.index("### Sequential: parts taken out") :]
    assert "| sequential, no texts | 0.5000 | 0.5000 | +0.2500 (+0.1250 to +0.3750)** |" in part
    assert "| sequential, shuffled vectors | not run | not run |  |" in part


def test_strata_curves_and_cost_are_of_the_records(records):
    write_record(records, run_of(BEAUTY, MODEL, "text-sequential"), GOOD)
    text = written(records)
    assert (
        "| model | items 1-9 | items 10-49 |\n|---|---|---|\n| `isrf`, sequential | 0.7500 | 0.0000 |" in text
    )
    assert "### Sequential: learning curve" in text
    assert "| `isrf`, sequential | 2.0 | 6.00 | 10 | 5 |" in text


def test_time_and_memory_are_those_of_the_benchmark(records):
    claim = {"name": "ISRF step", "ours": 30.0, "theirs": 10.0, "unit": "ms/step"}
    memory = {"name": "peak memory of ISRF training", "ours": 600.0, "theirs": 500.0, "unit": "MB"}
    path = records.folder.parent / "benchmarks" / "isrf_step.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"claims": [claim, memory]}), encoding="utf-8")
    text = written(records)
    said = "ISRF step 3.00, peak memory of ISRF training 1.20 | **not reached** |"
    assert f"a step in ≤ 1.5 times LightGCN's, by the benchmark | {said}" in text
    assert "| ISRF step | 30 | 10 | ms/step | 3.00 | **not reached** |" in text
    assert "| peak memory of ISRF training | 600 | 500 | MB | 1.20 | reached |" in text


def test_groups_are_asked_for_without_texts_of_users_too(records):
    """Texts of users hold validation events: the line that has none of them has an answer of its own."""
    write_record(records, run_of(LASTFM, MODEL, "text"), GOOD)
    for graph in ("no-graph", "random-graph"):
        write_record(records, run_of(LASTFM, MODEL, f"text-{graph}"), BAD)
    more = "+0.5000 (+0.3500 to +0.6500)**"
    answer = "**yes**: more than without a graph, and than with a random one"
    line = f"direct, users compared by their items | NDCG@20 | {more} | {more} | not run |  |  | {answer} |"
    assert f"| colakg-lastfm | {line}" in written(records)


def test_the_bar_of_counting_has_the_difference_over_the_same_users(records):
    write_record(records, run_of(BEAUTY, MODEL, "text-sequential"), GOOD)
    write_record(records, run_of(BEAUTY, "counting", "plain"), BAD)
    said = "0.7500; minus `counting` +0.5000 (+0.3500 to +0.6500)** | reached |"
    assert f"HR@10 at least the counting control's 0.0829 | {said}" in written(records)
