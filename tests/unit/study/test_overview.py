"""The page before the documents: the best of each kind, chosen by validation alone."""

import json
from dataclasses import replace

import pytest
from study_world import write_record

from scripts.study.advice import SITUATIONS
from scripts.study.comparisons import Comparisons
from scripts.study.core import AMAZON, GOWALLA, LASTFM, declare
from scripts.study.kinds import (
    COUNTED,
    COUNTED_ORDER,
    GRAPH,
    GRAPH_TEXT,
    HISTORY,
    HISTORY_TEXT,
    TEXT_ALONE,
    kind_of,
)
from scripts.study.overview import render
from scripts.study.records import Records
from scripts.study.runs import Run

GOOD, FAIR, BAD = [0] * 40, [3] * 40, [15] * 40


@pytest.mark.parametrize(
    ("model", "label", "kind"),
    [
        ("lightgcn", "plain", GRAPH),
        ("lightgcn", "text-concat", GRAPH_TEXT),
        ("recmind", "text-no-alignment", GRAPH_TEXT),
        ("lghrec", "plain-lightgcn", GRAPH),
        ("isrf", "text-no-graph", GRAPH_TEXT),
        ("isrf", "text-sequential-random-graph", HISTORY_TEXT),
        ("sasrec", "plain", HISTORY),
        ("fdsa", "text", HISTORY_TEXT),
        ("popularity", "plain", COUNTED),
        ("item_knn", "plain", COUNTED),
        ("ease", "plain", COUNTED),
        ("counting", "plain", COUNTED_ORDER),
        ("text_knn", "text", TEXT_ALONE),
        ("lightgcn", "shuffled", None),
        ("isrf", "both", None),
        ("random", "plain", None),
    ],
)
def test_a_kind_is_what_a_model_reads(model, label, kind):
    assert kind_of(model, label) == kind


@pytest.fixture
def records(tmp_path) -> Records:
    return Records(tmp_path / "runs")


def current(records: Records, run: Run, better: list[int], validation: float) -> None:
    write_record(records, run, better, validation=dict.fromkeys(("ndcg@10", "ndcg@20"), validation))


def cells_of(text: str, head: str, end: str) -> list[list[str]]:
    """Rows of the first table after a heading."""
    part = text.partition(head)[2].partition(end)[0]
    return [[c.strip() for c in line.split("|")[1:-1]] for line in part.splitlines() if line[:1] == "|"]


def rows_of(records: Records, runs: list[Run], dataset: str = LASTFM) -> dict[str, list[str]]:
    """What a data set's table has, by its second column."""
    text = render(records, Comparisons(records), runs)
    return {row[1]: row for row in cells_of(text, f"### {dataset}\n", "###")}


def test_validation_chooses_and_the_test_part_does_not(records):
    runs = [declare(LASTFM, model) for model in ("lightgcn", "xsimgcl", "ease")]
    current(records, runs[0], BAD, validation=0.9)
    current(records, runs[1], GOOD, validation=0.1)
    current(records, runs[2], FAIR, validation=0.5)
    rows = rows_of(records, runs)
    assert "`lightgcn`" in rows
    assert "`xsimgcl`" not in rows
    assert rows["`lightgcn`"][2] == "2"
    assert rows["`lightgcn`"][5].startswith("-")
    assert rows["`lightgcn`"][5].endswith("** against `ease`")
    assert rows["`lightgcn`"][6:] == ["1.0000"]
    assert rows["`ease`"][5] == ""


def test_what_reads_no_order_is_compared_with_what_counts_none(records):
    runs = [declare(AMAZON[0], model) for model in ("ease", "counting", "lightgcn", "sasrec")]
    for run, better, validation in zip(runs, (BAD, FAIR, FAIR, GOOD), (0.1, 0.5, 0.3, 0.6), strict=True):
        current(records, run, better, validation)
    rows = rows_of(records, runs, AMAZON[0])
    assert rows["`lightgcn`"][5].endswith("against `ease`")
    assert rows["`sasrec`"][5].endswith("against `counting`")


def test_records_of_earlier_code_are_left_out(records):
    runs = [declare(LASTFM, model) for model in ("lightgcn", "xsimgcl")]
    write_record(records, runs[0], GOOD, key="earlier", validation={"ndcg@20": 0.9})
    current(records, runs[1], FAIR, validation=0.1)
    assert list(rows_of(records, runs))[2:] == ["`xsimgcl`"]
    assert "| colakg-lastfm | 1 | 2 |" in render(records, Comparisons(records), runs)


def test_what_text_adds_is_said_with_its_chance(records):
    runs = [declare(LASTFM, "lightgcn"), declare(LASTFM, "lightgcn", "text")]
    current(records, runs[0], FAIR, validation=0.1)
    current(records, runs[1], GOOD, validation=0.2)
    text = render(records, Comparisons(records), runs)
    assert "`lightgcn` + text minus `lightgcn`: NDCG@20 +" in text
    assert "better beyond chance." in text


def advice_of(records: Records, runs: list[Run]) -> dict[str, str]:
    """Who has what → what to begin with."""
    text = render(records, Comparisons(records), runs)
    return {row[0]: row[1] for row in cells_of(text, "## Which model when", "## The data")}


def test_advice_is_the_best_of_what_reads_no_more(records):
    runs = [declare(LASTFM, model) for model in ("lightgcn", "ease")] + [declare(LASTFM, "lightgcn", "text")]
    for run, better, validation in zip(runs, (FAIR, [25] * 40, GOOD), (0.2, 0.1, 0.9), strict=True):
        current(records, run, better, validation)
    found = advice_of(records, runs)
    without_texts = found["interactions, 20 or more per user"]
    assert without_texts.startswith("colakg-lastfm: `lightgcn`, the only one run (+")
    assert (
        "** against `ease`, the only one run)<br>agent4rec-ml1m: not run<br>gowalla: not run" in without_texts
    )
    assert (
        "colakg-lastfm: `lightgcn` + text, the only one run (+"
        in found["texts of items, 20 or more interactions per user"]
    )
    assert found["sessions"] == "ml-100k: not run<br>session-diginetica-slice: not run"
    rare = found["many items that 1 to 9 users had: what the best of each kind reach on them"]
    assert rare == "colakg-lastfm, Recall@20: `ease` 0.0000, `lightgcn` 1.0000, `lightgcn` + text 1.0000"


def test_what_counts_is_advised_where_it_is_the_best_and_the_best_trained_is_named(records):
    runs = [declare(LASTFM, model) for model in ("lightgcn", "xsimgcl", "ease", "item_knn")]
    for run, better, validation in zip(runs, (BAD, GOOD, FAIR, BAD), (0.2, 0.1, 0.3, 0.0), strict=True):
        current(records, run, better, validation)
    found = advice_of(records, runs)
    advised = found["interactions, 20 or more per user"].partition("<br>")[0]
    assert advised.startswith("colakg-lastfm: `ease` (the best trained, `lightgcn`: -0.")
    assert advised.endswith("** against `ease`)")


def test_that_nothing_trained_was_run_is_said_but_not_to_those_who_cannot_train(records):
    run = declare(GOWALLA, "popularity")
    current(records, run, FAIR, validation=0.1)
    found = advice_of(records, [run])
    only = "gowalla: `popularity`, the only one run"
    assert found["interactions, 20 or more per user"].endswith(f"{only} (nothing trained was run)")
    assert f"{only}<br>" in found["interactions, and nothing to train with; or a yardstick to set"]


def test_what_needs_the_order_is_advised_only_to_those_who_have_it(records):
    runs = [declare(AMAZON[0], model) for model in ("ease", "counting")]
    for run, validation in zip(runs, (0.1, 0.5), strict=True):
        current(records, run, FAIR, validation)
    found = advice_of(records, runs)
    with_order = {situation.has for situation in SITUATIONS if COUNTED_ORDER in situation.kinds}
    assert with_order == {
        "the order of events, and nothing to train with; or a yardstick to set",
        "the order of events",
        "the order of events, and texts of items",
        "sessions",
    }
    for situation in SITUATIONS:
        if AMAZON[0] in situation.datasets:
            name = "counting" if situation.has in with_order else "ease"
            assert f"amazon14-beauty: `{name}`" in found[situation.has]


def test_what_a_limit_of_time_ended_is_said_wherever_it_is_shown(records):
    runs = [declare(GOWALLA, "lightgcn"), declare(GOWALLA, "popularity")]
    current(records, runs[0], GOOD, validation=0.2)
    current(records, runs[1], FAIR, validation=0.1)
    record = records.find(runs[0])
    assert record is not None
    records.rewrite(record.model_copy(update={"stopped_minutes": 120.0}))
    text = render(records, Comparisons(records), runs)
    assert "against `popularity`, the only one run; stopped after 120 minutes) |" in text
    assert "| `lightgcn`, stopped after 120 minutes | 1 | " in text
    current(records, runs[1], FAIR, validation=0.3)
    assert "against `popularity`, the only one run; stopped after 120 minutes) |" in render(
        records, Comparisons(records), runs
    )
    assert "| `lightgcn` | gowalla | 2 | 10, stopped after 120 minutes |" in text


def test_training_costs_the_step_of_the_fastest_seed(records):
    runs = [declare(LASTFM, "lightgcn", seed=seed) for seed in (0, 1)]
    for run, step, epochs in zip(runs, (77.0, 22.0), (160, 120), strict=True):
        current(records, run, GOOD, validation=0.2)
        record = records.find(run)
        assert record is not None
        fit = replace(record.fit, step_milliseconds=step, epochs=epochs)
        records.rewrite(record.model_copy(update={"fit": fit}))
    text = render(records, Comparisons(records), runs)
    rows = cells_of(text, "## What it costs", "* **")
    assert rows[2:] == [[GRAPH, "`lightgcn`", LASTFM, "22", "120 to 160", ""]]


def test_costs_are_those_that_benchmarks_recorded(records):
    claim = {"name": "full ranking", "ours": 59215.6, "unit": "users/s"}
    folder = records.folder.parent / "benchmarks"
    folder.mkdir()
    (folder / "recommender_evaluation.json").write_text(json.dumps({"claims": [claim]}), encoding="utf-8")
    text = render(records, Comparisons(records), [])
    assert "are ranked for 59,220 users/s from ready" in text
    assert "ISRF's direct task not run and not run" in text
    assert "I³ multiplications and 12 I² bytes" in text


def test_data_sets_are_told_whether_they_were_run_or_not(records):
    current(records, declare(LASTFM, "ease"), FAIR, validation=0.1)
    text = render(records, Comparisons(records), [])
    rows = {row[0]: row for row in cells_of(text, "## The data", "## What it costs")}
    assert rows[LASTFM][2:6] == ["40", "20", "120", "3"]
    assert "DeepSeek wrote" in rows[LASTFM][6]
    assert rows["amazon14-toys"][2:] == [
        *("not run", "", "", ""),
        "titles, brands and category paths; no language model wrote them",
    ]
    assert "ends where half an hour goes by without one" in rows["ml-100k"][1]
    assert all(row[1] for row in rows.values())
