"""Keys in flight: none twice at once, each answered once."""

import time

import pytest

from featurestore.spec import Sampling
from llm_jobs.engine import Message, Request, failed_completion, over_long
from llm_jobs.engines.in_flight import InFlight


def _requests(*keys: str) -> list[Request]:
    return [Request(key, (Message("user", key),), Sampling(max_tokens=10)) for key in keys]


@pytest.mark.parametrize("keys", [("a", "a"), ("b", "known")])
def test_doubled_keys_are_refused_all_or_none(keys: tuple[str, str]) -> None:
    in_flight = InFlight()
    in_flight.add(_requests("known"))
    with pytest.raises(ValueError, match=r"requests are in flight already: (a|known)$"):
        in_flight.add(_requests(*keys))
    in_flight.add(_requests("a", "b"))


def test_a_second_outcome_of_a_key_is_dropped() -> None:
    in_flight = InFlight()
    in_flight.add(_requests("a", "b"))
    for key in ("a", "a", "unknown", "b"):
        in_flight.finish(failed_completion(key, "aborted", "x"))
    assert [completion.key for completion in in_flight.poll(1.0)] == ["a", "b"]
    started = time.monotonic()
    assert in_flight.poll(5.0) == []
    assert time.monotonic() - started < 1.0  # nothing is to come, so nothing is waited for


def test_a_prompt_fits_with_its_longest_answer_or_not() -> None:
    (request,) = _requests("a")
    assert over_long(request, 90, 100) is None
    outcome = over_long(request, 91, 100)
    assert outcome is not None
    assert (outcome.failure, outcome.prompt_tokens) == ("prompt_too_long", 91)
    assert outcome.detail == "the prompt has 91 tokens and the answer may take 10, but the context holds 100"
