"""Work goes on past a run that fails, and does not take it up again before its code changes."""

import pytest

from scripts.study import work
from scripts.study.records import Records
from scripts.study.runs import Run
from scripts.study.work import Limits, work_alone

DATA = {"colakg-lastfm": "d" * 32}
RUNS = [Run(dataset="colakg-lastfm", model=name) for name in ("popularity", "random", "counting")]


@pytest.fixture
def computed(tmp_path, monkeypatch):
    """Names of runs in the order in which they were computed; ``random`` fails."""
    names: list[str] = []

    def execute(run, prepared, records, **limits):
        names.append(run.model)
        if run.model == "random":
            raise ValueError("no luck")
        raise work.Stopped(f"{run.name}: stopped")

    monkeypatch.setattr(work, "CLAIMS", tmp_path / "claims")
    monkeypatch.setattr(work, "FAILURES", tmp_path / "failures")
    monkeypatch.setattr(work, "Records", lambda: Records(tmp_path / "records"))
    monkeypatch.setattr(work, "execute", execute)
    monkeypatch.setattr(work.Prepared, "open", lambda *_: None)
    return names


def test_a_failed_run_is_passed_by(computed, tmp_path, capsys):
    assert work_alone(RUNS, DATA, Limits()) == 1
    assert computed == ["popularity", "random", "counting"]
    [failure] = (tmp_path / "failures").iterdir()
    assert "no luck" in failure.read_text(encoding="utf-8")
    assert "colakg-lastfm/random/plain/seed-0: failed, see " in capsys.readouterr().out
    assert work_alone(RUNS, DATA, Limits()) == 0
    assert computed == ["popularity", "random", "counting", "popularity", "counting"]


def test_nothing_is_begun_after_the_deadline(computed):
    assert work_alone(RUNS, DATA, Limits(deadline=0.0)) == 0
    assert computed == []


def test_a_run_that_another_process_works_on_is_left_to_it(computed, tmp_path):
    key = RUNS[0].key(work.run_version(RUNS[0]), DATA["colakg-lastfm"])
    with work.claim(tmp_path / "claims", key) as is_free:
        assert is_free
        work_alone(RUNS[:1], DATA, Limits())
    assert computed == []
    work_alone(RUNS[:1], DATA, Limits())
    assert computed == ["popularity"]
