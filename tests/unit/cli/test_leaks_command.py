"""``featurestore leaks`` on a store in a folder: what it prints, and how it ends."""

import json

import polars as pl
import pytest

from cli.main import run
from featurestore.gates.policy import GatePolicy
from featurestore.imports import import_feature
from featurestore.ingest import IngestRequest, ingest
from featurestore.releases.publish import publish
from featurestore.splits import SplitPolicy
from featurestore.stores import connect


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Release 1 is sound; release 2 has vectors that read validation events."""
    folder = tmp_path_factory.mktemp("leaks")
    (folder / "featurestore.toml").write_text('[store]\nuri = "store"\n')
    events = [(f"u{user}", item, time) for user in range(4) for time, item in enumerate("abcd")]
    frame = pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row")
    frame.write_parquet(folder / "events.parquet")
    store = connect(str(folder / "store"))
    files = {"interactions": folder / "events.parquet"}
    ingest(store, IngestRequest(files=files, split=SplitPolicy(method="leave_one_out")))
    publish(store, gates=GatePolicy())
    vectors = pl.DataFrame({"item": list("abcd"), "vector": [[1.0, float(i)] for i in range(4)]})
    vectors.write_parquet(folder / "vectors.parquet")
    import_feature(
        store,
        feature="item_cot",
        table=folder / "vectors.parquet",
        key="item",
        vector="vector",
        producer="a test",
        entity="item",
        events="current:train+valid",
    )
    publish(store, gates=GatePolicy())
    return folder


def test_a_sound_release_passes_with_a_table(project, capsys):
    assert run(["leaks", "-C", str(project), "--release", "1"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Release 1\n  verdict  check ")
    assert "ok       edges     training graph    16 entries, two for each training pair, weighted by" in shown


def test_a_leak_ends_with_exit_code_8_and_its_name(project, capsys):
    assert run(["leaks", "-C", str(project)]) == 8
    captured = capsys.readouterr()
    assert (
        "leak     events read  vector item_cot.text  vector item_cot.text of release 2 read" in captured.out
    )
    assert "error: 1 leak in release 2:\n  events read, vector item_cot.text: " in captured.err
    assert "is taken with --accept FEATURE." in captured.err


def test_json_holds_the_findings_of_a_leak_as_one_object(project, capsys):
    assert run(["leaks", "-C", str(project), "--json"]) == 8
    report = json.loads(capsys.readouterr().out)
    assert (report["release"], report["passed"]) == (2, False)
    leaks = [finding for finding in report["findings"] if finding["verdict"] == "leak"]
    assert [(finding["check"], finding["subject"]) for finding in leaks] == [
        ("events read", "vector item_cot.text")
    ]
    assert leaks[0]["figures"]["event_sets"].endswith(":train+valid")


def test_an_accepted_feature_is_a_note(project, capsys):
    assert run(["leaks", "-C", str(project), "--accept", "item_cot"]) == 0
    assert "note     events read  vector item_cot.text  accepted: " in capsys.readouterr().out
    assert run(["leaks", "-C", str(project), "--accept", "item_cto"]) == 2
    assert "unknown feature 'item_cto'. Did you mean 'item_cot'?" in capsys.readouterr().err
