"""The page before the documents: the best of each kind, chosen by validation alone."""

import pytest
from study_world import write_record

from scripts.study.comparisons import Comparisons
from scripts.study.core import LASTFM, declare
from scripts.study.kinds import GRAPH, GRAPH_TEXT, HISTORY, HISTORY_TEXT, kind_of
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
    write_record(records, run, better, validation={"ndcg@20": validation})


def rows_of(records: Records, runs: list[Run]) -> dict[str, list[str]]:
    """What a data set's table has, by its second column."""
    text = render(records, Comparisons(records), runs)
    part = text.partition(f"### {LASTFM}\n")[2].partition("###")[0]
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in part.splitlines() if line[:1] == "|"]
    return {row[1]: row for row in cells}


def test_validation_chooses_and_the_test_part_does_not(records):
    runs = [declare(LASTFM, model) for model in ("lightgcn", "xsimgcl", "ease")]
    current(records, runs[0], BAD, validation=0.9)
    current(records, runs[1], GOOD, validation=0.1)
    current(records, runs[2], FAIR, validation=0.5)
    rows = rows_of(records, runs)
    assert "`lightgcn`" in rows
    assert "`xsimgcl`" not in rows
    assert rows["`lightgcn`"][4].startswith("-")
    assert rows["`lightgcn`"][5:] == ["1.0000", "1", "2", "10", ""]
    assert rows["`ease`"][4] == ""


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
    part = text.partition("## Which model when")[2].partition("## What was found")[0]
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in part.splitlines() if line[:1] == "|"]
    return {row[0]: row[1] for row in cells}


def test_advice_is_the_best_of_what_reads_no_more(records):
    runs = [declare(LASTFM, model) for model in ("lightgcn", "ease")] + [declare(LASTFM, "lightgcn", "text")]
    for run, better, validation in zip(runs, (FAIR, [25] * 40, GOOD), (0.2, 0.1, 0.9), strict=True):
        current(records, run, better, validation)
    found = advice_of(records, runs)
    without_texts = found["interactions, 20 or more per user"]
    assert without_texts.startswith("colakg-lastfm: `lightgcn` (+")
    assert "**)<br>agent4rec-ml1m: not run<br>gowalla: not run" in without_texts
    assert "colakg-lastfm: `lightgcn` + text (+" in found["texts of items, 20 or more interactions per user"]
    assert found["sessions"] == "ml-100k: not run<br>session-diginetica-slice: not run"
    rare = found["many items that few users had: what the best by validation reach on them in the test"]
    assert rare == (
        "colakg-lastfm, Recall@20 of items that 1 to 9 users had: "
        "`ease` 0.0000, `lightgcn` 1.0000, `lightgcn` + text 1.0000"
    )


def test_what_trains_nothing_is_advised_where_it_is_the_best(records):
    runs = [declare(LASTFM, model) for model in ("lightgcn", "ease")]
    current(records, runs[0], GOOD, validation=0.1)
    current(records, runs[1], FAIR, validation=0.2)
    found = advice_of(records, runs)
    assert found["interactions, 20 or more per user"].startswith("colakg-lastfm: `ease`<br>")
