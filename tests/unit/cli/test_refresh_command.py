"""``featurestore refresh``: from a project's sections to jobs, a report for people and one for machines."""

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cli.main import run
from cli.refreshing import release_check
from featurestore.errors import SetupError
from featurestore.release import ReleaseCatalog
from featurestore.stores import connect

_CONFIG = """
[ingest]
items = "items.parquet"
interactions = "events.parquet"
[encode]
encoder = "hashing"
[generate]
model = "echo"
metrics_file = "night.prom"
[gates]
max_failure_rate = 1.0
max_duplicate_text_share = 1.0
[refresh]
{check}
[refresh.features.user_cot]
due = {{ min_changed_share = 0.5, max_age_days = 30 }}
views = ["fused"]
[refresh.features.item_text]
graphs = ["text"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    items = [{"item_id": f"i{n}", "title": f"Kettle {n}"} for n in range(6)]
    pl.DataFrame(items).write_parquet(tmp_path / "items.parquet")
    events = [
        {"user_id": f"u{user}", "item_id": f"i{(user + n) % 6}", "timestamp": n}
        for user in range(4)
        for n in range(4)
    ]
    pl.DataFrame(events).write_parquet(tmp_path / "events.parquet")
    _configure(tmp_path)
    return tmp_path


def _configure(project: Path, check: str = "") -> None:
    project.joinpath("featurestore.toml").write_text(_CONFIG.format(check=check))


def _refresh(project: Path, *arguments: str) -> int:
    return run(["refresh", "-C", str(project), *arguments])


def _stages(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {stage["name"]: stage for stage in report["stages"]}


def test_features_come_after_those_they_read_and_machines_get_every_number(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _refresh(project, "--json", "--report", str(project / "report.json")) == 0
    report = json.loads(capsys.readouterr().out)
    stages = _stages(report)
    # The user prompt reads item_cot, which has no section: it is written first, and not encoded.
    assert list(stages) == [
        "ingest",
        "retire",
        "texts.item_cot",
        "texts.user_cot",
        "texts.item_text",
        "vectors.user_cot.fused",
        "vectors.item_text.text",
        "graph.item_text.text-users",
        "publish",
        "promote",
    ]
    assert stages["texts.item_cot"]["facts"]["requests"] == 18
    assert stages["texts.user_cot"]["facts"]["stale"] == 4
    assert json.loads((project / "report.json").read_text()) == report
    assert "featurestore_run_" in (project / "night.user_cot.prom").read_text()


def test_people_read_what_happened_and_the_next_night_does_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _refresh(project) == 0
    printed = capsys.readouterr().out
    assert "texts.item_cot: done, stale 6, due 6, requests 18\n" in printed
    assert "promote: done, release 1\n" in printed
    assert _refresh(project) == 0
    assert _refresh(project) == 0
    assert "publish: skipped\n" in capsys.readouterr().out


def test_a_check_decides_over_the_promotion(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys; print('looking'); sys.exit('too few' if sys.argv[1] == '1' else 0)"
    _configure(project, f"check = {json.dumps([sys.executable, '-c', code, '{release}'])}")
    assert _refresh(project, "--canary", "--report", str(project / "report.json")) == 5
    said = capsys.readouterr().err
    assert "ended with 1: release 1 is not promoted.\n  looking\n  too few\n  The release stays" in said
    report = json.loads((project / "report.json").read_text())
    assert (report["status"], report["exit_code"]) == ("failed", 5)
    assert _stages(report)["verify"]["status"] == "done"
    catalog = ReleaseCatalog(connect(str(project / "store")))
    assert catalog.aliases() == {"canary": 1}
    items = pl.read_parquet(project / "items.parquet").with_columns(pl.col("title") + " again")
    items.write_parquet(project / "items.parquet")
    assert _refresh(project, "--canary") == 0
    assert catalog.aliases() == {"canary": 2, "production": 2}


def test_a_check_that_is_not_there_is_named(tmp_path: Path) -> None:
    check = release_check(("./no-such-check",), tmp_path)
    assert check is not None
    with pytest.raises(SetupError, match=r"'./no-such-check' cannot be run: No such file or directory"):
        check(1)


def test_a_condition_holds_for_features_without_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _refresh(project, "--json", "--where", "user_id = 'u1'") == 0
    stages = _stages(json.loads(capsys.readouterr().out))
    assert stages["texts.user_cot"]["facts"]["due"] == 1
    assert stages["texts.item_cot"]["facts"]["due"] == 6


def test_a_ceiling_stops_before_anything_is_asked(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = project / "report.json"
    assert _refresh(project, "--max-tokens", "10", "--report", str(report)) == 11
    said = capsys.readouterr().err
    assert "the night (tokens: item_cot " in said
    assert "more than the 10 allowed" in said
    stages = _stages(json.loads(report.read_text()))
    assert list(stages) == ["ingest", "retire", "budget"]
    assert _refresh(project, "--max-tokens", "1000000") == 0
    assert "budget: done, tokens planned " in capsys.readouterr().out


def test_a_project_without_features_is_told_how_to_name_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.joinpath("featurestore.toml").write_text("")
    assert _refresh(tmp_path) == 2
    captured = capsys.readouterr().err
    assert "there is nothing to refresh: no feature is named" in captured
    assert "[refresh.features.item_cot]" in captured


def test_the_prompt_of_generate_is_refreshed_by_default(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = '[ingest]\nitems = "items.parquet"\n[encode]\nencoder = "hashing"\n'
    config += '[generate]\nprompt = "item_cot"\nmodel = "echo"\n'
    project.joinpath("featurestore.toml").write_text(config)
    assert _refresh(project, "--json", "--no-promote") == 0
    stages = _stages(json.loads(capsys.readouterr().out))
    assert [name for name in stages if name.startswith("vectors")] == [
        "vectors.item_cot.backward",
        "vectors.item_cot.forward",
        "vectors.item_cot.fused",
    ]
    assert list(stages)[-1] == "publish"


def test_an_earlier_report_does_not_stand_for_a_refresh_that_did_not_begin(project: Path) -> None:
    report = project / "report.json"
    report.write_text('{"status": "finished"}')
    _configure(project, 'check = "a line, not a list"')
    assert _refresh(project, "--report", str(report)) == 2
    assert not report.exists()


def test_a_report_that_cannot_be_written_is_refused_before_any_work(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _refresh(project, "--report", str(project / "absent" / "report.json")) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert not (project / "store").exists()


def test_texts_of_users_need_no_prompt_and_follow_their_events(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = project / "featurestore.toml"
    head = config.read_text().partition("[refresh.features.user_cot]")[0]
    config.write_text(f"{head}[refresh.features.user_text]\n")
    assert _refresh(project, "--json") == 0
    stages = _stages(json.loads(capsys.readouterr().out))
    assert stages["vectors.user_text.text"]["facts"]["num_encoded"] == 4
    events = pl.read_parquet(project / "events.parquet")
    more = pl.DataFrame({"user_id": ["u0"], "item_id": ["i5"], "timestamp": [9]})
    pl.concat([events, more]).write_parquet(project / "events.parquet")
    assert _refresh(project, "--json") == 0
    stages = _stages(json.loads(capsys.readouterr().out))
    assert stages["vectors.user_text.text"]["facts"]["num_encoded"] == 1
