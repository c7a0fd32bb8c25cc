import pytest

from featurestore.progress import RunSnapshot


def _snapshot(**changes: object) -> RunSnapshot:
    known: dict[str, object] = {
        "run_id": "r1",
        "feature": "item_cot",
        "model": "echo",
        "phase": "running",
        "started_at": 0.0,
        "seconds": 30.0,
        "done": 2,
        "total": 8,
        "rows": {"forward": {"ok": 4, "schema": 1}, "fused": {"ok": 2}},
        "prompt_tokens": 800,
        "cached_tokens": 600,
        "output_tokens": 200,
        "engine_seconds": 10.0,
    }
    return RunSnapshot(**{**known, **changes})  # pyright: ignore[reportArgumentType]


def test_shares_and_rates_follow_from_the_counts() -> None:
    snapshot = _snapshot()
    assert (snapshot.num_rows, snapshot.num_failed) == (7, 1)
    assert snapshot.cached_share == pytest.approx(0.75)
    assert snapshot.tokens_per_second == pytest.approx(20.0)
    empty = _snapshot(rows={}, prompt_tokens=0, engine_seconds=0.0)
    assert (empty.num_rows, empty.cached_share, empty.tokens_per_second) == (0, 0.0, 0.0)


def test_the_time_left_goes_by_planned_tokens_and_else_by_entities() -> None:
    assert _snapshot(planned_tokens=4000).seconds_left == pytest.approx(30.0)
    assert _snapshot().seconds_left == pytest.approx(30.0)
    assert _snapshot(done=0).seconds_left is None
    assert _snapshot(planned_tokens=500).seconds_left == 0.0
    assert _snapshot(phase="finished").seconds_left is None
