"""How long work tells whoever waits for it how far it is: in a line for people, in numbers for machines."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

RunPhase: TypeAlias = Literal["planning", "running", "finished", "stopped", "failed"]
"""``stopped``: Ctrl-C, SIGTERM or a spent skip budget; ``failed``: any other error."""


class Progress(Protocol):
    """Called often and cheaply by long work; `no_progress` is the silent one."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report.

        Args:
            done: Units finished.
            total: Units in all; 0 if unknown.
            note: A few words such as ``"212 tokens/s"``.
        """
        ...


def no_progress(done: int, total: int, note: str = "") -> None:
    """Report nothing."""
    del done, total, note


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """Where a run of a language model stands. Counts are those of this run.

    Attributes:
        run_id: The run.
        feature: The prompt.
        model: Alias of the model.
        phase: ``planning`` until the first request.
        started_at: Unix seconds.
        seconds: Since then.
        done: Entities that reached the end of their chain.
        total: Entities that had something to do; 0 while that is not known.
        rows: Stage → ``ok`` or the reason of a failure → rows.
        requests: Requests that were answered.
        in_flight: Requests that are not answered yet.
        prompt_tokens: Of the answered requests.
        cached_tokens: Of these, tokens that the engine had computed before.
        output_tokens: Tokens generated, reasoning included.
        engine_seconds: From the engine's readiness to its last answer so far.
        planned_tokens: Prompt and output tokens that the plan foresaw; None if there is no plan.
        error: What ended the run, if it did not finish.
    """

    run_id: str
    feature: str
    model: str
    phase: RunPhase
    started_at: float
    seconds: float
    done: int = 0
    total: int = 0
    rows: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    requests: int = 0
    in_flight: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    engine_seconds: float = 0.0
    planned_tokens: int | None = None
    error: str | None = None

    @property
    def num_rows(self) -> int:
        """Rows finished, failed ones included."""
        return sum(sum(outcomes.values()) for outcomes in self.rows.values())

    @property
    def num_failed(self) -> int:
        """Rows that failed."""
        return self.num_rows - sum(outcomes.get("ok", 0) for outcomes in self.rows.values())

    @property
    def cached_share(self) -> float:
        """Share of the prompt tokens that the engine had computed before."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Output tokens per second of engine time."""
        return self.output_tokens / self.engine_seconds if self.engine_seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Engine seconds still to go, by tokens if a plan counted them, else by entities; None if unknown."""
        if self.phase != "running" or not self.engine_seconds:
            return None
        tokens = self.prompt_tokens + self.output_tokens
        if self.planned_tokens and tokens:
            by_tokens = self.engine_seconds * max(0, self.planned_tokens - tokens) / tokens
            return by_tokens if self.done < self.total else 0.0
        return self.engine_seconds * (self.total - self.done) / self.done if self.done else None


class RunProgress(Protocol):
    """Called often and cheaply by a run; `no_run_progress` is the silent one."""

    def __call__(self, snapshot: RunSnapshot) -> None:
        """Report where the run stands."""
        ...


def no_run_progress(snapshot: RunSnapshot) -> None:
    """Report nothing."""
    del snapshot
