"""All gates of a release to be: those that its facts decide, and those for which rows are read."""

from collections.abc import Collection
from functools import cache, partial

from featurestore.gate_result import GateResult
from featurestore.gates.codes import code_gates
from featurestore.gates.draft import Draft
from featurestore.gates.graphs import graph_gates
from featurestore.gates.policy import GatePolicy
from featurestore.gates.probe import Probe, probe_gate
from featurestore.gates.rows import rows_behind
from featurestore.gates.rules import accept, run_gates
from featurestore.gates.texts import degrees_of, text_gates
from featurestore.gates.vectors import vector_gates
from featurestore.progress import Progress, no_progress
from featurestore.spec import (
    CodesSpec,
    GraphSpec,
    ImportedVectorSpec,
    ModelVectorSpec,
    RecommendationsSpec,
    SourceSpec,
    VectorSpec,
)


def measured_gates(
    draft: Draft,
    policy: GatePolicy,
    *,
    probe: Probe | None = None,
    accepted: Collection[str] = (),
    progress: Progress = no_progress,
) -> tuple[GateResult, ...]:
    """Run every gate that applies to a release to be.

    What the parent pins unchanged is judged by what was measured then: the cost grows with the tables that
    changed.

    Args:
        draft: The release to be.
        policy: Thresholds.
        probe: A frozen model to score the vectors with, if there is one.
        accepted: Gates whose refusal a person accepts for this release.
        progress: Told per table.

    Raises:
        UnknownNameError: If ``accepted`` names no gate.
        UsageError: If ``accepted`` names a gate that cannot be accepted.
    """
    accept((), accepted)  # refuse a wrong name before the work
    results = list(
        run_gates(draft.tables, policy=policy, split=draft.split, find_rows=partial(rows_behind, draft))
    )
    degrees = cache(partial(degrees_of, draft))
    for done, (spec, facts) in enumerate(draft.tables):
        progress(done, len(draft.tables), f"gates of {spec.feature}.{spec.view}")
        if not facts.num_rows:
            continue
        match spec:
            case VectorSpec() | ImportedVectorSpec():
                results += vector_gates(draft, spec, policy)
            case GraphSpec():
                results += graph_gates(draft, spec, policy)
            case CodesSpec():
                results += code_gates(draft, spec, policy)
            case SourceSpec() | RecommendationsSpec() | ModelVectorSpec():
                pass
            case _:
                results += text_gates(draft, spec, policy, degrees)
    if probe is not None:
        results += probe_gate(draft, probe, policy)
    progress(len(draft.tables), len(draft.tables))
    return accept(results, accepted)
