"""How long to leave a server alone."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from llm_jobs.engines.backoff import backoff_seconds, retry_after_seconds, worth_repeating

_NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        (format_datetime(_NOW + timedelta(seconds=90), usegmt=True), 90.0),
        ("Sun, 01 Mar 2026 12:01:00 -0000", 60.0),
        (format_datetime(_NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("soon", 0.0),
        ("-3", 0.0),
        ("", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_and_as_a_date(stated: str, seconds: float) -> None:
    assert retry_after_seconds({"retry-after": stated}, _NOW) == seconds


def test_no_header_asks_for_no_wait() -> None:
    assert retry_after_seconds({}, _NOW) == 0.0


def test_waits_double_up_to_a_limit_with_jitter() -> None:
    rng = random.Random(1)
    for attempt, longest in [(1, 0.5), (2, 1.0), (4, 4.0), (20, 30.0)]:
        waits = {backoff_seconds(attempt, rng) for _ in range(50)}
        assert len(waits) == 50
        assert longest / 2 <= min(waits) < max(waits) <= longest


def test_only_passing_troubles_are_worth_repeating() -> None:
    assert all(worth_repeating(status) for status in (408, 429, 500, 502, 503, 529))
    assert not any(worth_repeating(status) for status in (400, 401, 403, 404, 422))
