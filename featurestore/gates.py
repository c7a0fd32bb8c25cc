"""Gates: what must hold before a release is published.

A gate compares one measured value with one threshold. All gates run, so a refusal names everything at once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import Field

from featurestore.errors import GateFailedError
from featurestore.spec import AnySpec, Entity, Frozen, GraphSpec, SourceSpec, VectorSpec
from featurestore.splits import SplitRecord
from featurestore.table_facts import TableFacts


class GatePolicy(Frozen):
    """Thresholds of the gates. Non-finite and zero vectors are never allowed."""

    min_coverage: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of entities that must have a good text, per text feature."""
    max_failure_rate: float = Field(default=0.2, ge=0.0, le=1.0)
    """Share of a feature's rows that may have failed."""
    max_duplicate_text_share: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of good texts that may repeat another one."""


class GateResult(Frozen):
    """What one gate said about one feature."""

    gate: str
    feature: str
    """``text item_cot.fused``, or ``source items.rows``."""
    value: float
    threshold: float
    passed: bool


@dataclass(frozen=True, slots=True)
class _Gate:
    """One gate: ``at_least`` its threshold, or at most."""

    at_least: bool
    measures: str
    remedy: str


GATES: Final[Mapping[str, _Gate]] = {
    "rows": _Gate(True, "rows", "Run the job that makes the feature, or leave it out with --feature."),
    "unique_ids": _Gate(
        False, "rows that repeat an id", "The table is damaged: make the feature again into a new store."
    ),
    "coverage": _Gate(
        True, "share of entities with a good text", "Generate the missing rows, or lower gates.min_coverage."
    ),
    "failure_rate": _Gate(
        False, "share of failed rows", "Run generate --only-failed, or raise gates.max_failure_rate."
    ),
    "duplicate_texts": _Gate(
        False,
        "share of good texts that repeat another one",
        "Look at `featurestore show`: the model may have collapsed. Or raise gates.max_duplicate_text_share.",
    ),
    "finite": _Gate(False, "vectors with NaN or infinity", "Encode the feature again."),
    "zero_norm": _Gate(
        False, "vectors of length zero", "Their texts say nothing to the encoder: look at them, encode again."
    ),
    "current_texts": _Gate(
        False,
        "vectors that were made of another text than this release's",
        "Texts changed after they were encoded: run `featurestore embed` again.",
    ),
    "lineage": _Gate(
        False,
        "upstream versions that are not in this release",
        "Texts or vectors moved on: run `featurestore embed` or `featurestore graph` again.",
    ),
    "event_set": _Gate(
        False,
        "event sets of another split than the current one",
        "Texts were made from events of an earlier split: generate, embed and build the graph again.",
    ),
}


def run_gates(
    tables: Sequence[tuple[AnySpec, TableFacts]], *, policy: GatePolicy, split: SplitRecord | None
) -> tuple[GateResult, ...]:
    """Run every gate that applies.

    Args:
        tables: What the release would pin, with what was measured of it.
        policy: Thresholds.
        split: The current split; None if nothing was ingested.
    """
    entities = _entity_counts(tables)
    digests = {spec.digest for spec, _ in tables}
    results: list[GateResult] = []
    for spec, facts in tables:
        check = _checker(spec)
        results.append(check("unique_ids", facts.num_repeated_ids, 0))
        if isinstance(spec, SourceSpec):
            continue
        results.append(check("rows", facts.num_rows, 1))
        if spec.kind == "text" and facts.num_rows:
            results += _text_gates(check, facts, entities.get(spec.entity) if spec.entity else None, policy)
        if spec.kind == "vector":
            results.append(check("finite", facts.num_not_finite, 0))
            results.append(check("zero_norm", facts.num_zero, 0))
            results.append(check("current_texts", facts.num_outdated, 0))
        if (upstream := _upstream(spec)) is not None:
            results.append(check("lineage", 0 if upstream in digests else 1, 0))
        if event_sets := event_sets_of(spec, facts.event_sets):
            results.append(check("event_set", len(_foreign(event_sets, split)), 0))
    return tuple(results)


def require_passed(results: Iterable[GateResult], *, standing: str) -> None:
    """Refuse a release whose gates failed.

    Args:
        results: What the gates said.
        standing: How things are left, such as ``"alias 'production' still names release 3"``.

    Raises:
        GateFailedError: Naming every failed gate with its value, its threshold and what to do.
    """
    failed = [result for result in results if not result.passed]
    if not failed:
        return
    lines = [f"  {describe(result)}" for result in failed]
    gates = "1 gate refuses" if len(failed) == 1 else f"{len(failed)} gates refuse"
    remedies = dict.fromkeys(f"{result.gate}: {GATES[result.gate].remedy}" for result in failed)
    raise GateFailedError(
        "\n".join([f"{gates} this release; {standing}.", *lines]), hint="\n  ".join(remedies)
    )


def describe(result: GateResult) -> str:
    """One gate's result as a sentence."""
    gate = GATES[result.gate]
    bound = f"at least {result.threshold:.4g} is needed"
    if not gate.at_least:
        bound = f"at most {result.threshold:.4g} is allowed"
    return f"{result.gate} of {result.feature}: {gate.measures} is {result.value:.4g}; {bound}"


def event_sets_of(spec: AnySpec, row_event_sets: Iterable[str]) -> tuple[str, ...]:
    """The event sets that a feature read: those of its rows, and the graph's own."""
    own = spec.event_set.split(",") if isinstance(spec, GraphSpec) and spec.event_set else []
    return tuple(sorted({*row_event_sets, *own}))


def parts_read(event_set: str) -> tuple[str, ...]:
    """The split parts that an event set names: ``("train", "valid")`` for ``<split>:train+valid``."""
    return tuple(event_set.rpartition(":")[2].split("+"))


def _text_gates(
    check: "_Check", facts: TableFacts, num_entities: int | None, policy: GatePolicy
) -> list[GateResult]:
    results = [
        check("failure_rate", facts.num_failed / facts.num_rows, policy.max_failure_rate),
        check("duplicate_texts", facts.duplicate_text_share, policy.max_duplicate_text_share),
    ]
    if num_entities:
        coverage = (facts.num_rows - facts.num_failed) / num_entities
        results.append(check("coverage", coverage, policy.min_coverage))
    return results


_Check = Callable[[str, float, float], GateResult]


def _checker(spec: AnySpec) -> _Check:
    feature = f"{spec.kind} {spec.feature}.{spec.view}"

    def check(gate: str, value: float, threshold: float) -> GateResult:
        passed = value >= threshold if GATES[gate].at_least else value <= threshold
        return GateResult(gate=gate, feature=feature, value=value, threshold=threshold, passed=passed)

    return check


def _entity_counts(tables: Sequence[tuple[AnySpec, TableFacts]]) -> dict[Entity, int]:
    rows = {spec.feature: facts.num_rows for spec, facts in tables if isinstance(spec, SourceSpec)}
    return {"item": rows.get("items", 0), "user": rows.get("users", 0)}


def _upstream(spec: AnySpec) -> str | None:
    if isinstance(spec, VectorSpec):
        return spec.text_digest
    return spec.vector_digest if isinstance(spec, GraphSpec) else None


def _foreign(event_sets: Sequence[str], split: SplitRecord | None) -> list[str]:
    own = f"{split.checksum[:16]}:" if split else None
    return [name for name in event_sets if own is None or not name.startswith(own)]
