"""Answers that are known already: an identical rendered request is computed once.

A request's key covers all that can change its answer, so an answer may serve any row, feature and job.
`featurestore.jobs.answers.AnswerCache` keeps answers for all jobs of a store, `RecentAnswers` for a process.
"""

from typing import Final, Protocol

from featurestore.jobs.answers import CachedAnswer
from llm_jobs.engine import Completion

_REMEMBERED: Final = 50_000
"""Answers that `RecentAnswers` holds: some hundred MB at most."""


class Answers(Protocol):
    """Where known answers are looked up and new ones are kept. Losing one costs a request, nothing else."""

    def find(self, key: str) -> CachedAnswer | None:
        """The answer to the request of this key, if it is known. Must cost next to nothing if it is not."""
        ...

    def add(self, key: str, answer: CachedAnswer) -> None:
        """Keep an answer."""
        ...


class RecentAnswers:
    """The newest answers of this process."""

    def __init__(self) -> None:
        self._answers: dict[str, CachedAnswer] = {}

    def find(self, key: str) -> CachedAnswer | None:
        """See `Answers.find`."""
        return self._answers.get(key)

    def add(self, key: str, answer: CachedAnswer) -> None:
        """See `Answers.add`; the oldest answer goes when there are too many."""
        if len(self._answers) >= _REMEMBERED:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = answer


def known_answer(completion: Completion, reasoning_tags: tuple[str, str] | None) -> CachedAnswer | None:
    """What is worth keeping of a completion: all but its thoughts. None of a failure.

    Args:
        completion: What the engine returned.
        reasoning_tags: Opening and closing tag of a reasoning model's thoughts.
    """
    if completion.text is None or completion.finish_reason == "failed":
        return None
    text = completion.text
    if reasoning_tags is not None:
        _, closed, answer = text.rpartition(reasoning_tags[1])
        text = closed + answer if closed else ""
    return CachedAnswer(text, completion.finish_reason, completion.prompt_tokens, completion.output_tokens)


def as_completion(key: str, answer: CachedAnswer) -> Completion:
    """A known answer as if the engine had just given it, its whole prompt cached: nothing was computed."""
    return Completion(
        key=key,
        text=answer.text,
        finish_reason=answer.finish_reason,
        prompt_tokens=answer.prompt_tokens,
        cached_tokens=answer.prompt_tokens,
        output_tokens=answer.output_tokens,
    )
