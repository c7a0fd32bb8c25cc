"""The gate of a frozen recommender: does a model that was trained on earlier vectors still rank with these?

The model lives outside this package, so the gate is given a `Probe` (`recommender.probe`).
"""

from dataclasses import dataclass
from typing import Protocol

from featurestore.gate_result import GateResult
from featurestore.gates.draft import Draft
from featurestore.gates.policy import GatePolicy
from featurestore.gates.rules import judged


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How a frozen model fares.

    Attributes:
        feature: The vectors that it reads, such as ``item_cot.fused``.
        drop: Share of its metric that it loses against the parent's vectors; negative if it gains. 1 if it
            cannot read the new vectors at all.
        note: The two values, or why it cannot read them.
    """

    feature: str
    drop: float
    note: str = ""


class Probe(Protocol):
    """A frozen model and the data that it is measured on."""

    def __call__(self, draft: Draft) -> ProbeResult | None:
        """Score the parent's vectors and the draft's with the same weights on the same events.

        Returns:
            None if there is nothing to compare: no parent, or one without the vectors that the model reads.

        Raises:
            FeatureStoreError: If the model cannot be loaded or measured.
        """
        ...


def probe_gate(draft: Draft, probe: Probe, policy: GatePolicy) -> list[GateResult]:
    """The gate of one probe; none if it has nothing to compare."""
    found = probe(draft)
    if found is None:
        return []
    return [judged(f"vector {found.feature}", "probe", found.drop, policy.max_probe_drop, note=found.note)]
