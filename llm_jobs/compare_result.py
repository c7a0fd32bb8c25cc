"""What a comparison of two prompts or two models found."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from featurestore.spec import Entity
from llm_jobs.generate_report import GenerateReport
from llm_jobs.models import ModelEntry
from llm_jobs.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Contender:
    """A prompt and the model that is to run it.

    Attributes:
        prompt: With its limits applied.
        entry: The model.
    """

    prompt: Prompt
    entry: ModelEntry

    @property
    def name(self) -> str:
        """Prompt, the beginning of its digest, and model."""
        return f"{self.prompt.name}@{self.prompt.digest[:8]} by {self.entry.alias}"


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What one stage of one entity came to.

    Attributes:
        stage: Its name.
        text: The text; None if it failed.
        reason: Why it failed, else None.
        raw: Raw output of a failure.
        prompt_tokens: Of the last request.
        cached_tokens: Of these, computed before.
        output_tokens: Of the last request, reasoning included.
        flags: What a reader should know of it.
    """

    stage: str
    text: str | None
    reason: str | None
    raw: str | None
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """What one contender did.

    Attributes:
        contender: Who.
        engine_class: What ran it.
        report: Totals of the run, requests that were repeated included.
        outcomes: One outcome per stage, in the prompt's order, by entity.
    """

    contender: Contender
    engine_class: str
    report: GenerateReport
    outcomes: Mapping[str, tuple[StageOutcome, ...]]

    @property
    def failures(self) -> dict[str, int]:
        """Failed rows by reason, most frequent first."""
        reasons = Counter(
            outcome.reason for rows in self.outcomes.values() for outcome in rows if outcome.reason
        )
        return dict(reasons.most_common())

    @property
    def num_rows(self) -> int:
        """Rows, failed ones included."""
        return sum(len(rows) for rows in self.outcomes.values())

    def text(self, entity_id: str) -> str | None:
        """The text of an entity's last stage."""
        return self.outcomes[entity_id][-1].text

    def tokens(self, entity_id: str, kind: str) -> int:
        """``prompt_tokens``, ``cached_tokens`` or ``output_tokens`` of all stages of an entity."""
        return sum(getattr(outcome, kind) for outcome in self.outcomes[entity_id])


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Nearest neighbours within the sample, by the vectors of both sides' last texts.

    Attributes:
        encoder: Who made the vectors.
        k: Neighbours of each entity.
        by_side: For each side: ids by entity, nearest first. Only entities with a text on both sides.
        overlap: Mean share of an entity's k neighbours that both sides name.
    """

    encoder: str
    k: int
    by_side: tuple[Mapping[str, tuple[str, ...]], Mapping[str, tuple[str, ...]]]
    overlap: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides on one sample.

    Attributes:
        entity: Items or users.
        seed: Of the sample.
        titles: What people call each entity, by id, ids ascending.
        a: The first side.
        b: The second.
        neighbours: None if fewer than two entities have a text on both sides.
    """

    entity: Entity
    seed: int
    titles: Mapping[str, str]
    a: Side
    b: Side
    neighbours: Neighbours | None

    @property
    def num_equal(self) -> int:
        """Entities whose last texts are the same."""
        return sum(self.a.text(i) is not None and self.a.text(i) == self.b.text(i) for i in self.titles)

    def as_dict(self) -> dict[str, Any]:
        """The numbers, for JSON."""
        return {
            "entity": self.entity,
            "sample": len(self.titles),
            "seed": self.seed,
            "a": summary(self.a),
            "b": summary(self.b),
            "equal_texts": self.num_equal,
            "neighbour_overlap": self.neighbours.overlap if self.neighbours else None,
            "num_neighbours": self.neighbours.k if self.neighbours else None,
            "encoder": self.neighbours.encoder if self.neighbours else None,
        }


def summary(side: Side) -> dict[str, Any]:
    """The numbers of one side."""
    report = side.report
    texts = [text for i in side.outcomes if (text := side.text(i)) is not None]
    failed = sum(side.failures.values())
    return {
        "contender": side.contender.name,
        "texts": len(texts),
        "mean_characters": sum(map(len, texts)) / len(texts) if texts else 0.0,
        "failed_rows": failed,
        "failure_rate": failed / side.num_rows if side.num_rows else 0.0,
        "failures": side.failures,
        "flagged": sum(any(outcome.flags for outcome in rows) for rows in side.outcomes.values()),
        "requests": report.requests,
        "prompt_tokens": report.prompt_tokens,
        "cached_tokens": report.cached_tokens,
        "output_tokens": report.output_tokens,
        "engine_seconds": report.engine_seconds,
    }


@dataclass(frozen=True, slots=True)
class NumberRow:
    """One line of the table that sums both sides up."""

    name: str
    a: str
    b: str


def number_rows(a: Side, b: Side) -> list[NumberRow]:
    """Both sides in numbers, for people."""
    one, other = _worded(summary(a)), _worded(summary(b))
    reasons = sorted({*a.failures, *b.failures})
    failures = [
        NumberRow(f"of these {reason}", f"{a.failures.get(reason, 0):,}", f"{b.failures.get(reason, 0):,}")
        for reason in reasons
    ]
    rows = [NumberRow(name, one[name], other[name]) for name in one]
    place = list(one).index("failed rows") + 1
    return [*rows[:place], *failures, *rows[place:]]


def _worded(numbers: Mapping[str, Any]) -> dict[str, str]:
    cached = numbers["cached_tokens"] / max(1, numbers["prompt_tokens"])
    return {
        "last texts": f"{numbers['texts']:,}",
        "characters of a last text, mean": f"{numbers['mean_characters']:,.0f}",
        "failed rows": f"{numbers['failed_rows']:,} ({numbers['failure_rate']:.0%})",
        "entities with flags": f"{numbers['flagged']:,}",
        "requests": f"{numbers['requests']:,}",
        "prompt tokens": f"{numbers['prompt_tokens']:,}",
        "of these cached": f"{numbers['cached_tokens']:,} ({cached:.0%})",
        "output tokens": f"{numbers['output_tokens']:,}",
        "engine seconds": f"{numbers['engine_seconds']:,.1f}",
    }
