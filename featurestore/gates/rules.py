"""Gates: what must hold before a release is published.

A gate compares one measured value with one threshold. All gates run, so a refusal names everything at once.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Final

from featurestore.errors import GateFailedError, UnknownNameError, UsageError
from featurestore.gate_result import GateResult
from featurestore.gates.catalog import GATES
from featurestore.gates.policy import GatePolicy
from featurestore.spec import AnySpec, CodesSpec, GraphSpec, SourceSpec, VectorSpec
from featurestore.splits import LOG_PREFIX, SplitRecord
from featurestore.table_facts import TableFacts

MAX_ROWS: Final = 20
"""Rows that a refusal names at most."""
_SHOWN_ROWS: Final = 5


def judged(
    subject: AnySpec | str,
    gate: str,
    value: float,
    threshold: float,
    *,
    rows: Callable[[], Iterable[str]] = tuple,
    stratum: str = "",
    note: str = "",
) -> GateResult:
    """Compare one value with its threshold.

    Args:
        subject: Whose value it is: a spec, or a feature as `GateResult` calls it.
        gate: One of `GATES`.
        value: What was measured.
        threshold: What is asked for.
        rows: Finds the rows behind a refusal; not called otherwise.
        stratum: Entities that the value is about; all if empty.
        note: What the value alone does not say.
    """
    passed = value >= threshold if GATES[gate].at_least else value <= threshold
    return GateResult(
        gate=gate,
        feature=subject if isinstance(subject, str) else subject_of(subject),
        value=value,
        threshold=threshold,
        passed=passed,
        stratum=stratum,
        rows=() if passed else tuple(islice(rows(), MAX_ROWS)),
        note=note,
    )


def subject_of(spec: AnySpec) -> str:
    """What `GateResult` calls a feature: ``text item_cot.fused``."""
    return f"{spec.kind} {spec.feature}.{spec.view}"


def run_gates(
    tables: Sequence[tuple[AnySpec, TableFacts]],
    *,
    policy: GatePolicy,
    split: SplitRecord | None,
    find_rows: Callable[[AnySpec, TableFacts, str], Iterable[str]] = lambda *_: (),
) -> tuple[GateResult, ...]:
    """Run the gates that need no more than the facts of the tables.

    Args:
        tables: What the release would pin, with what was measured of it.
        policy: Thresholds.
        split: The current split; None if nothing was ingested.
        find_rows: Finds the rows behind the refusal of a gate.
    """
    digests = {spec.digest for spec, _ in tables}
    return tuple(
        judged(spec, gate, value, threshold, rows=partial(find_rows, spec, facts, gate))
        for spec, facts in tables
        for gate, (value, threshold) in _values(spec, facts, policy, digests, split).items()
    )


def accept(results: Iterable[GateResult], accepted: Collection[str]) -> tuple[GateResult, ...]:
    """Mark the refusals of some gates as accepted by a person.

    Raises:
        UnknownNameError: If one is no gate.
        UsageError: If one guards what would make the release wrong.
    """
    for gate in accepted:
        if gate not in GATES:
            raise UnknownNameError("gate", gate, [name for name, known in GATES.items() if known.acceptable])
        if not GATES[gate].acceptable:
            raise UsageError(f"the gate {gate!r} cannot be accepted.", hint=GATES[gate].remedy)
    return tuple(
        result.model_copy(update={"accepted": True})
        if not result.passed and result.gate in accepted
        else result
        for result in results
    )


def require_passed(results: Iterable[GateResult], *, standing: str) -> None:
    """Refuse a release whose gates failed.

    Args:
        results: What the gates said.
        standing: How things are left, such as ``"alias 'production' still names release 3"``.

    Raises:
        GateFailedError: Naming every failed gate with its value, its threshold, its rows and what to do.
    """
    failed = [result for result in results if not result.passed and not result.accepted]
    if not failed:
        return
    lines = [f"  {describe(result)}" for result in failed]
    gates = "1 gate refuses" if len(failed) == 1 else f"{len(failed)} gates refuse"
    remedies = dict.fromkeys(f"{result.gate}: {GATES[result.gate].remedy}" for result in failed)
    raise GateFailedError(
        "\n".join([f"{gates} this release; {standing}.", *lines]), hint="\n  ".join(remedies)
    )


def describe(result: GateResult) -> str:
    """One gate's result as a sentence, with the first of its rows."""
    gate = GATES[result.gate]
    bound = f"{'at least' if gate.at_least else 'at most'} {result.threshold:.4g} is "
    bound += "needed" if gate.at_least else "allowed"
    whose = f"{result.feature}, {result.stratum}" if result.stratum else result.feature
    said = f"{result.gate} of {whose}: {gate.measures} is {result.value:.4g}; {bound}"
    if result.note:
        said += f" ({result.note})"
    if result.rows:
        more = ", ..." if len(result.rows) > _SHOWN_ROWS else ""
        said += f". Rows: {', '.join(result.rows[:_SHOWN_ROWS])}{more}"
    return said


def ids_in_row(row: str) -> frozenset[str]:
    """Ids that a row of `GateResult.rows` may name: whatever of it could be one."""
    return frozenset({row, row.rpartition(" (")[0], *row.split(" > ")})


def event_sets_of(spec: AnySpec, row_event_sets: Iterable[str]) -> tuple[str, ...]:
    """The event sets that a feature read: those of its rows, and the graph's or the codebooks' own."""
    own = spec.event_set.split(",") if isinstance(spec, GraphSpec | CodesSpec) and spec.event_set else []
    return tuple(sorted({*row_event_sets, *own}))


def parts_read(event_set: str) -> tuple[str, ...]:
    """The split parts that an event set names: ``("train", "valid")`` for ``<split>:train+valid``."""
    return tuple(event_set.rpartition(":")[2].split("+"))


def _values(
    spec: AnySpec,
    facts: TableFacts,
    policy: GatePolicy,
    digests: Collection[str],
    split: SplitRecord | None,
) -> Mapping[str, tuple[float, float]]:
    """Gate → (value, threshold) of one table."""
    values: dict[str, tuple[float, float]] = {"unique_ids": (facts.num_repeated_ids, 0)}
    if isinstance(spec, SourceSpec):
        return values
    values["rows"] = (facts.num_rows, 1)
    if spec.kind == "text" and facts.num_rows:
        values["failure_rate"] = (facts.num_failed / facts.num_rows, policy.max_failure_rate)
        values["duplicate_texts"] = (facts.duplicate_text_share, policy.max_duplicate_text_share)
    if spec.kind == "vector":
        values["finite"] = (facts.num_not_finite, 0)
        values["zero_norm"] = (facts.num_zero, 0)
        values["current_texts"] = (facts.num_outdated, 0)
    if (upstream := _upstream(spec)) is not None:
        values["lineage"] = (0 if upstream in digests else 1, 0)
    if event_sets := event_sets_of(spec, facts.event_sets):
        values["event_set"] = (len(foreign_event_sets(event_sets, split)), 0)
    return values


def foreign_event_sets(event_sets: Sequence[str], split: SplitRecord | None) -> list[str]:
    """Those of some event sets that are not of this split."""
    own = (LOG_PREFIX, f"{split.checksum[:16]}:") if split else LOG_PREFIX
    return [name for name in event_sets if not name.startswith(own)]


def _upstream(spec: AnySpec) -> str | None:
    if isinstance(spec, VectorSpec):
        return spec.text_digest
    return spec.vector_digest if isinstance(spec, GraphSpec | CodesSpec) else None
