"""What became of a request: a valid answer or a typed failure, and the row that says so."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from featurestore import columns as c
from featurestore.errors import SkipBudgetError
from llm_jobs.clean import strip_template_tokens
from llm_jobs.engine import Completion
from llm_jobs.parse import ParsedAnswer, parse_answer
from llm_jobs.prompt import Stage

UPSTREAM_FAILED: Final = "upstream_failed"
"""Reason of a stage that was not asked because a stage it builds on failed."""
NO_INPUT: Final = "no_input"
"""Reason of an entity of which the prompt's fields and events say nothing: a model could only make it up."""

_RAW_CHARS: Final = 20_000
_SHOWN_CHARS: Final = 600
"""Of a rejected answer, at most: enough to see the mistake, too little to overrun the context."""
_PASSING: Final = frozenset({"engine_error", "timeout", "refused_by_server"})
"""Failures of the engine that may be gone the next time."""
_BUDGET_FROM: Final = 20
"""Outcomes before a share of failures means anything."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A valid answer.

    Attributes:
        text: What is stored as the text.
        canonical: The whole answer as canonical JSON.
    """

    text: str
    canonical: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer.

    Attributes:
        reason: Typed reason.
        raw: The model's output, or the engine's words.
        may_pass: Whether asking again may help.
        problem: One sentence that tells the model what was wrong with its answer; empty if that cannot help.
        answer: The answer it was wrong with, without thoughts and template tokens.
    """

    reason: str
    raw: str | None = None
    may_pass: bool = False
    problem: str = ""
    answer: str = ""


Verdict: TypeAlias = Answer | Failure


def judge(
    completion: Completion,
    stage: Stage,
    reasoning_tags: tuple[str, str] | None,
    *,
    source_text: str,
    system: str,
) -> Verdict:
    """The verdict on a completion; reasoning is split off and dropped.

    Args:
        completion: What the engine returned.
        stage: What was asked.
        reasoning_tags: Tags of a reasoning model.
        source_text: The data block, which the answer may repeat and its quotes must occur in.
        system: The system turn, which it may not repeat.
    """
    if completion.text is None:
        reason = completion.failure or "engine_error"
        return Failure(reason, completion.detail[:_RAW_CHARS], may_pass=reason in _PASSING)
    parsed = parse_answer(completion.text, stage, reasoning_tags, source_text=source_text, system=system)
    if isinstance(parsed, ParsedAnswer):
        return Answer(parsed.text, parsed.canonical)
    raw = completion.text[:_RAW_CHARS]
    if completion.finish_reason == "length" or parsed.reason == "cut_off":
        return Failure("cut_off", raw, may_pass=True)
    answer = completion.text.rpartition(reasoning_tags[1])[2] if reasoning_tags else completion.text
    shown = strip_template_tokens(answer).strip()[:_SHOWN_CHARS]
    return Failure(parsed.reason, raw, may_pass=True, problem=parsed.detail, answer=shown)


def outcome_row(base: Mapping[str, Any], verdict: Verdict, completion: Completion | None) -> dict[str, Any]:
    """A row of `featurestore.schema.TEXTS`.

    Args:
        base: id, fingerprint, attempts, run_id, and what else is known before the verdict.
        verdict: What came out.
        completion: The last completion; None if no request was made.
    """
    row = dict(base)
    match verdict:
        case Answer(text, canonical):
            row |= {c.STATUS: c.STATUS_OK, c.TEXT: text, c.ANSWER: canonical}
        case Failure(reason, raw):
            row |= {c.STATUS: c.STATUS_FAILED, c.REASON: reason, c.RAW: raw}
    if completion is not None:
        row |= {
            c.REQUEST_KEY: completion.key,
            c.FINISH_REASON: completion.finish_reason,
            c.PROMPT_TOKENS: completion.prompt_tokens,
            c.CACHED_TOKENS: completion.cached_tokens,
            c.OUTPUT_TOKENS: completion.output_tokens,
        }
    return row


@dataclass(slots=True)
class Tally:
    """Running counts of a generation.

    Attributes:
        outcomes: View → ``ok`` or reason → rows.
        requests: Requests answered by the engine.
        num_asked: Rows whose outcome the engine decided; failures that follow from others do not count.
        num_failed: Of these, failed.
        recomputed: Rows written over an older row.
        reused: Answers that were known, so that no request was made.
    """

    outcomes: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    num_asked: int = 0
    num_failed: int = 0
    recomputed: int = 0
    reused: int = 0

    def add_request(self, completion: Completion) -> None:
        """Count a completion."""
        self.requests += 1
        self.prompt_tokens += completion.prompt_tokens
        self.cached_tokens += completion.cached_tokens
        self.output_tokens += completion.output_tokens

    def add_row(self, view: str, verdict: Verdict, *, asked: bool, replaces: bool) -> None:
        """Count a row."""
        outcome = verdict.reason if isinstance(verdict, Failure) else c.STATUS_OK
        self.outcomes.setdefault(view, Counter())[outcome] += 1
        self.recomputed += replaces
        if asked:
            self.num_asked += 1
            self.num_failed += isinstance(verdict, Failure)

    def is_over(self, budget: float) -> bool:
        """Whether the share of failures exceeds a skip budget; never before 20 outcomes."""
        return self.num_asked >= _BUDGET_FROM and self.num_failed > budget * self.num_asked

    def budget_error(self, budget: float) -> SkipBudgetError:
        """The error for a spent skip budget, with the reasons counted."""
        reasons: Counter[str] = sum(self.outcomes.values(), Counter[str]())
        del reasons[c.STATUS_OK], reasons[UPSTREAM_FAILED]
        listed = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        return SkipBudgetError(
            f"{self.num_failed} of {self.num_asked} answers failed ({listed}): more than the skip budget of "
            f"{budget:.0%}. What succeeded is stored.",
            hint="Read the raw output of the failed rows, or raise skip_budget under [generate].",
        )
