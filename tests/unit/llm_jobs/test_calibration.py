import pytest

from featurestore.jobs.runcard import RunCard, RunMachine
from llm_jobs.calibration import calibrate

_HERE = RunMachine(cores=2, architecture="x86_64", memory_gib=24.0)


def _card(
    uncached: int, output: int, seconds: float, *, engine: str = "vllm-1-cpu", **changes: object
) -> RunCard:
    known: dict[str, object] = {
        "run_id": "r",
        "job": "generate",
        "status": "finished",
        "started_at": "2026-01-01T00:00:00+00:00",
        "seconds": seconds + 30.0,
        "engine_seconds": seconds,
        "feature": "item_cot",
        "model_source": "repo@1",
        "specs": {},
        "counts": {},
        "prompt_tokens": uncached + 1000,
        "cached_tokens": 1000,
        "output_tokens": output,
        "engine": engine,
        "machine": _HERE,
        "product_version": "0",
        "python_version": "3",
    }
    return RunCard.model_validate({**known, **changes})


def test_runs_of_different_mixes_tell_both_speeds() -> None:
    """1,000 uncached prompt tokens/s and 100 output tokens/s, by construction."""
    cards = [
        _card(uncached, output, uncached / 1000 + output / 100)
        for uncached, output in [(8000, 500), (1000, 3000), (5000, 1000)]
    ]
    speed = calibrate(cards, "repo@1", _HERE)
    assert speed is not None
    assert speed.prompt_tokens_per_second == pytest.approx(1000)
    assert speed.output_tokens_per_second == pytest.approx(100)
    assert speed.other_seconds == pytest.approx(30)
    assert speed.seconds(2000, 400) == pytest.approx(30 + 2 + 4)
    assert (speed.engine, speed.num_runs) == ("vllm-1-cpu", 3)


def test_runs_of_one_mix_are_scaled() -> None:
    cards = [_card(5000, 1000, 15.0), _card(10_000, 2000, 30.0)]
    speed = calibrate(cards, "repo@1", _HERE)
    assert speed is not None
    assert speed.seconds(20_000, 4000) == pytest.approx(30 + 60)
    assert speed.prompt_tokens_per_second == pytest.approx(10 * speed.output_tokens_per_second)


def test_only_runs_of_the_model_the_machine_and_the_newest_engine_count() -> None:
    elsewhere = _HERE.model_copy(update={"cores": 64})
    cards = [
        _card(0, 1000, 10.0),
        _card(0, 1000, 99.0, engine="vllm-0-cpu"),
        _card(0, 1000, 99.0, model_source="repo@2"),
        _card(0, 1000, 99.0, machine=elsewhere),
        _card(0, 0, 99.0),
        _card(0, 1000, 99.0, machine=None),
    ]
    speed = calibrate(cards, "repo@1", _HERE)
    assert speed is not None
    assert speed.num_runs == 1
    assert speed.output_tokens_per_second == pytest.approx(100)
    assert calibrate(cards, "repo@3", _HERE) is None
    assert calibrate([], "repo@1", _HERE) is None
