"""Tables, progress and JSON of the command line."""

import json

import pytest

from cli.report import ErrorReport, Reporter, print_error


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
    monkeypatch.setattr("cli.report.time.monotonic", lambda: next(clock))
    with Reporter(as_json=False).progress("encoding") as progress:
        progress(1000, 2000, "35 texts/s")
        progress(1100, 2000)
        progress(2000, 2000)
    assert capsys.readouterr().err == "encoding: 1,000/2,000, 0:10 left, 35 texts/s\nencoding: 2,000/2,000\n"


def test_a_line_that_says_nothing_new_is_repeated_once_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, *(10.0 * step for step in range(1, 9))])
    monkeypatch.setattr("cli.report.time.monotonic", lambda: next(clock))
    with Reporter(as_json=False).progress("writing") as progress:
        for _ in range(8):
            progress(0, 48, "0 tokens/s")
    assert capsys.readouterr().err == "writing: 0/48, 0 tokens/s\n" * 2


def test_an_error_puts_each_line_of_its_hint_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(ErrorReport("SetupError", "no GPU.", 4, "First do this.\nThen that."), as_json=False)
    printed = capsys.readouterr()
    assert printed.err == "error: no GPU.\n  First do this.\n  Then that.\n"
    assert printed.out == ""
