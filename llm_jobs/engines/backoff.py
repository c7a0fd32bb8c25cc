"""When to ask a server again: exponential waits with jitter, and what its Retry-After says."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

MAX_ATTEMPTS: Final = 5
"""Times a request is sent at most."""
MAX_TIMEOUTS: Final = 2
"""Of these, times it may run out of time: each has cost the whole allowance."""
LONGEST_WAIT: Final = 600.0
"""Seconds: a server that asks for more is taken at its word, and the request given up."""
_FIRST_WAIT: Final = 0.5
_LONGEST_BACKOFF: Final = 30.0
_REPEATED: Final = frozenset({408, 409, 425, 429})


def worth_repeating(status: int) -> bool:
    """Whether the same request may succeed later: too many requests, time-outs, faults of the server."""
    return status in _REPEATED or status >= 500


def backoff_seconds(attempt: int, rng: random.Random) -> float:
    """The wait after a failed attempt: 0.5 s, doubled each time, 30 s at most, half of it by chance.

    Args:
        attempt: Attempts made, from 1.
        rng: Draws the jitter, so that requests that failed together do not return together.
    """
    longest = min(_FIRST_WAIT * 2 ** (attempt - 1), _LONGEST_BACKOFF)
    return longest * rng.uniform(0.5, 1.0)


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float:
    """The wait that a server asks for in ``Retry-After``, as seconds or as an HTTP date; 0 if in neither.

    Args:
        headers: Of the response; names are looked up in lower case.
        now: The present, with its time zone.
    """
    stated = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(stated)) if stated.replace(".", "", 1).isdigit() else _until(stated, now)
    except ValueError:
        return 0.0


def _until(date: str, now: datetime) -> float:
    then = parsedate_to_datetime(date)
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - now).total_seconds())
