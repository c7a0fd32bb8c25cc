"""Tables, progress and JSON of the command line."""

import json
from types import SimpleNamespace

import pytest

from cli.log import use_json_log
from cli.report import ErrorReport, Reporter, print_error
from featurestore.progress import RunSnapshot


def test_a_table_aligns_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    Reporter(as_json=False).table(
        "Counts",
        [{"what": "items", "rows": 12101}, {"what": "share", "rows": 0.25}, {"what": "x", "rows": None}],
    )
    assert capsys.readouterr().out == "Counts\n  what   rows\n  items  12,101\n  share  0.2500\n  x      -\n"


def test_a_truth_value_reads_as_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    Reporter(as_json=False).table("Gates", [{"gate": "coverage", "passed": True}])
    assert capsys.readouterr().out == "Gates\n  gate      passed\n  coverage  yes\n"


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Reporter(as_json=False).table("Quarantine", [])
    assert capsys.readouterr().out == "Quarantine: none\n"


def test_with_json_only_the_result_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    report = Reporter(as_json=True)
    report.say("reading")
    report.table("Counts", [{"what": "items"}])
    report.result({"items": 3, "title": "Crème"})
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"items": 3, "title": "Crème"}
    assert printed.err.startswith("reading\nCounts\n")


def test_without_json_the_result_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    Reporter(as_json=False).result({"items": 3})
    assert capsys.readouterr().out == ""


def test_short_work_shows_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(as_json=False).progress("reading") as progress:
        progress(1, 2)
        progress(2, 2)
    assert capsys.readouterr().err == ""


def test_long_work_prints_plain_lines_when_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 10.0, 11.0, 20.0])
    monkeypatch.setattr("cli.report.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with Reporter(as_json=False).progress("encoding") as progress:
        progress(1000, 2000, "35 texts/s")
        progress(1100, 2000)
        progress(2000, 2000)
    assert capsys.readouterr().err == "encoding: 1,000/2,000, 0:10 left, 35 texts/s\nencoding: 2,000/2,000\n"


def test_a_line_that_says_nothing_new_is_repeated_once_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, *(10.0 * step for step in range(1, 9))])
    monkeypatch.setattr("cli.report.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with Reporter(as_json=False).progress("writing") as progress:
        for _ in range(8):
            progress(0, 48, "0 tokens/s")
    assert capsys.readouterr().err == "writing: 0/48, 0 tokens/s\n" * 2


def test_an_error_puts_each_line_of_its_hint_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(ErrorReport("SetupError", "no GPU.", 4, "First do this.\nThen that."), as_json=False)
    printed = capsys.readouterr()
    assert printed.err == "error: no GPU.\n  First do this.\n  Then that.\n"
    assert printed.out == ""


def _running(**changes: object) -> RunSnapshot:
    known: dict[str, object] = {
        "run_id": "r1",
        "feature": "item_cot",
        "model": "echo",
        "phase": "running",
        "started_at": 0.0,
        "seconds": 10.0,
        "done": 250,
        "total": 1000,
        "rows": {"forward": {"ok": 400, "schema": 12}, "fused": {"ok": 250}},
        "prompt_tokens": 4000,
        "cached_tokens": 3000,
        "output_tokens": 2120,
        "engine_seconds": 10.0,
    }
    return RunSnapshot(**{**known, **changes})  # pyright: ignore[reportArgumentType]


def test_a_run_shows_rows_speed_cache_failures_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 10.0, 11.0, 20.0])
    monkeypatch.setattr("cli.report.time", SimpleNamespace(monotonic=lambda: next(clock)))
    seen: list[RunSnapshot] = []
    with Reporter(as_json=False).run_progress(seen.append) as progress:
        progress(_running(phase="planning"))
        progress(_running())
        progress(_running(done=260))
        progress(_running(done=1000))
        progress(_running(phase="finished"))
    assert capsys.readouterr().err == (
        "item_cot: 250/1,000, 662 rows, 212 tokens/s, 75% of prompts cached, 12 failed, 0:30 left\n"
        "item_cot: 1,000/1,000, 662 rows, 212 tokens/s, 75% of prompts cached, 12 failed\n"
    )
    assert [snapshot.phase for snapshot in seen] == ["planning", *["running"] * 3, "finished"]


def test_a_json_log_of_long_work_says_now_and_then_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 11.0, 12.0])
    monkeypatch.setattr("cli.log.time", SimpleNamespace(monotonic=lambda: next(clock)))
    use_json_log(wanted=True)
    try:
        with Reporter(as_json=False).progress("encoding") as progress:
            for done in (1, 2, 3):
                progress(done, 3, "35 texts/s")
    finally:
        use_json_log(wanted=False)
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(e["event"], e["what"], e["done"], e["note"]) for e in events] == [
        ("progress", "encoding", 2, "35 texts/s"),
        ("progress", "encoding", 3, "35 texts/s"),
    ]
