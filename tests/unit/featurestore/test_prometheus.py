"""The metrics file: valid, atomic, and no reason for a run to end."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from featurestore.errors import SetupError
from featurestore.progress import RunPhase, RunSnapshot
from featurestore.prometheus import MetricsFile, render_metrics

_SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\} (-?[0-9.e+-]+)')


def _snapshot(phase: RunPhase = "running", **changes: object) -> RunSnapshot:
    known: dict[str, object] = {
        "run_id": "r1",
        "feature": "item_cot",
        "model": 'a "quoted\\model"\nname',
        "phase": phase,
        "started_at": 1_800_000_000.25,
        "seconds": 12.5,
        "done": 3,
        "total": 8,
        "rows": {"forward": {"ok": 4, "schema": 1}, "fused": {"ok": 3, "cut_off": 2, "schema": 1}},
        "requests": 12,
        "in_flight": 5,
        "prompt_tokens": 4000,
        "cached_tokens": 2500,
        "output_tokens": 900,
        "planned_tokens": 9000,
    }
    return RunSnapshot(**{**known, **changes})  # pyright: ignore[reportArgumentType]


def _samples(text: str) -> dict[str, dict[str, float]]:
    """Name → labels → value of a text in the exposition format; its rules are checked."""
    assert text.endswith("\n")
    kinds: dict[str, str] = {}
    found: dict[str, dict[str, float]] = {}
    helped: list[str] = []
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped.append(line.split(" ")[2])
            assert helped.count(helped[-1]) == 1
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == helped[-1], "HELP and TYPE stand together, before the samples"
            kinds[name] = kind
            assert (kind == "counter") is name.endswith("_total")
        else:
            match = _SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            assert name == helped[-1], "samples of a metric stand together"
            assert labels not in found.setdefault(name, {}), "a series is doubled"
            found[name][labels] = float(value)
    assert set(kinds) == set(helped)
    return found


def _of(samples: dict[str, dict[str, float]], name: str, part: str = "") -> list[float]:
    return [value for labels, value in samples[f"featurestore_run_{name}"].items() if part in labels]


def test_the_numbers_of_a_run_are_all_there() -> None:
    samples = _samples(render_metrics(_snapshot(), now=1_800_000_013.0))
    assert _of(samples, "rows_total", 'outcome="ok"') == [4, 3]
    assert _of(samples, "rows_total", 'outcome="failed"') == [1, 3]
    assert _of(samples, "failures_total", 'reason="schema"') == [1, 1]
    assert _of(samples, "tokens_total", 'kind="prompt"') == [4000]
    assert _of(samples, "tokens_total", 'kind="output"') == [900]
    assert _of(samples, "cached_tokens_total") == [2500]
    assert _of(samples, "requests_in_flight") == [5]
    assert _of(samples, "entities", 'state="planned"') == [8]
    assert _of(samples, "phase", 'phase="running"') == [1]
    assert sum(_of(samples, "phase")) == 1
    assert _of(samples, "started_timestamp_seconds") == [1_800_000_000.25]
    assert _of(samples, "updated_timestamp_seconds") == [1_800_000_013]
    assert _of(samples, "planned_tokens") == [9000]


@pytest.mark.skipif(find_spec("prometheus_client") is None, reason="prometheus_client is not installed")
def test_prometheus_own_parser_reads_the_same_numbers() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    text = render_metrics(_snapshot(), now=1_800_000_013.0)
    parsed = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    ours = _samples(text)
    assert len(parsed) == sum(len(series) for series in ours.values())
    assert {sample.name for sample in parsed} == set(ours)
    assert {sample.labels["model"] for sample in parsed} == {'a "quoted\\model"\nname'}
    assert sum(sample.value for sample in parsed if sample.name == "featurestore_run_rows_total") == 11


def test_a_run_without_a_plan_has_no_planned_tokens() -> None:
    samples = _samples(render_metrics(_snapshot("planning", planned_tokens=None, rows={}), now=0.0))
    assert "featurestore_run_planned_tokens" not in samples
    assert _of(samples, "phase", 'phase="planning"') == [1]


def test_the_file_is_written_at_every_change_of_phase_and_every_five_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("featurestore.prometheus.time.monotonic", lambda: now[0])
    path = tmp_path / "run.prom"
    metrics = MetricsFile(path)
    seen: list[tuple[str, int]] = []
    steps: list[tuple[float, RunPhase, int]] = [
        (0.0, "planning", 0),
        (0.1, "running", 1),
        (4.0, "running", 2),
        (6.0, "running", 3),
        (6.1, "finished", 4),
    ]
    for after, phase, done in steps:
        now[0] = 100.0 + after
        metrics(_snapshot(phase, done=done))
        samples = _samples(path.read_text("utf-8"))
        seen.append((phase, int(_of(samples, "entities", 'state="done"')[0])))
    assert seen == [("planning", 0), ("running", 1), ("running", 1), ("running", 3), ("finished", 4)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.prom"], "nothing half-written stays behind"


def test_a_file_that_cannot_be_written_is_told_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no/run\.prom cannot be written"):
        MetricsFile(tmp_path / "no" / "run.prom")(_snapshot("planning"))


def test_a_disk_that_fills_up_later_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = MetricsFile(tmp_path / "run.prom")
    metrics(_snapshot("planning"))

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    metrics(_snapshot("running"))
    assert metrics.num_failed == 1
