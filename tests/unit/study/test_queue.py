"""What is due, and that two processes never work on the same run."""

import subprocess
import sys

import pytest
from study_world import FACTS, write_record

from scripts.study.code_version import run_version
from scripts.study.core import GRAPH_MODELS, minimum, queue
from scripts.study.datasets import DATASETS
from scripts.study.queue import chosen, claim, standings
from scripts.study.records import Records
from scripts.study.runs import Run

RUN = Run(dataset="colakg-lastfm", model="popularity")
CLAIM = """
import sys, time
from pathlib import Path
from scripts.study.queue import claim
with claim(Path(sys.argv[1]), "key") as is_free:
    print(is_free, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "gowalla"},
        {"model": "random"},
        {"form": "text"},
        {"variant": "gate"},
        {"settings": {"epochs": "3"}},
        {"seed": 1},
        {"max_minutes": 5.0},
    ],
)
def test_anything_that_can_change_a_result_changes_the_key(change):
    assert set(change) <= set(Run.model_fields)
    assert RUN.model_copy(update=change).key("code", "data") != RUN.key("code", "data")
    assert RUN.key("other code", "data") != RUN.key("code", "data") != RUN.key("code", "other data")


def test_every_field_of_a_run_is_in_the_test_above():
    assert set(Run.model_fields) == {
        "dataset", "model", "form", "variant", "settings", "seed", "max_minutes"
    }  # fmt: skip


def test_states_of_runs(tmp_path):
    records = Records(tmp_path)
    data = {"colakg-lastfm": FACTS.data}
    runs = [RUN, RUN.model_copy(update={"model": "foretold"}), RUN.model_copy(update={"dataset": "gowalla"})]
    assert [s.state for s in standings(runs, records, data)] == ["due", "no model", "no data"]
    write_record(records, RUN, [0, 1], key=RUN.key(run_version(RUN), FACTS.data))
    assert standings([RUN], records, data)[0].state == "current"
    assert standings([RUN], records, {"colakg-lastfm": "other"})[0].state == "earlier"
    write_record(records, RUN, [0, 1], key="of other code")
    found = standings([RUN], records, data)[0]
    assert found.state == "earlier"
    assert found.record is not None


def test_a_claim_is_of_one_process_and_ends_with_it(tmp_path):
    command = [sys.executable, "-c", CLAIM, str(tmp_path)]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with claim(tmp_path, "key") as is_free:
            assert not is_free
        with claim(tmp_path, "another key") as is_free:
            assert is_free
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    with claim(tmp_path, "key") as is_free:
        assert is_free


def test_runs_are_chosen_by_name():
    runs = minimum()
    assert chosen(runs, []) == runs
    found = chosen(runs, ["colakg-lastfm/lightgcn/*", "gowalla/*"])
    assert len(found) == 4 * 3 + 2
    assert chosen(runs, ["colakg-lastfm/sgl/text/seed-0"])[0].name == "colakg-lastfm/sgl/text/seed-0"


def test_declared_runs_are_different_and_cover_the_minimum():
    runs = [*minimum(), *queue()]
    names = [run.name for run in runs]
    assert len(set(names)) == len(names)
    assert {run.dataset for run in runs} <= set(DATASETS)
    lastfm = {(r.model, r.form, r.seed) for r in minimum() if r.dataset == "colakg-lastfm"}
    forms = ("plain", "text", "shuffled", "random")
    assert {(m, f, s) for m in GRAPH_MODELS for f in forms for s in range(3)} <= lastfm
    beauty = {(r.model, r.seed) for r in minimum() if r.dataset == "amazon14-beauty"}
    assert {("lightgcn", 0), ("lightgcn", 1), ("lightgcn", 2), ("sasrec", 0), ("xsimgcl", 0)} <= beauty
    assert {("popularity", 0), ("counting", 0)} <= beauty
    assert [r.max_minutes for r in minimum() if r.model == "lightgcn" and r.dataset == "gowalla"] == [120.0]


def test_forms_with_vectors_are_declared_only_where_there_are_texts():
    for run in (*minimum(), *queue()):
        assert run.form == "plain" or DATASETS[run.dataset].item_feature is not None, run.name
        assert run.form != "both" or DATASETS[run.dataset].user_feature is not None, run.name
