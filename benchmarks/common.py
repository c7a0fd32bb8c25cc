"""Ratios against a named peer, measured in alternating pairs within one run.

The machines are noisy, so no time stands alone: each pair runs both sides close together, in alternating
order, and the claim is the median of the pairs' ratios. Every benchmark prints its protocol beside its figure
and writes the same record to ``docs/results/benchmarks/<name>.json``.
"""

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

RECORDS = Path(__file__).parent.parent / "docs" / "results" / "benchmarks"


@dataclass(frozen=True, slots=True)
class Claim:
    """One measured ratio.

    Attributes:
        name: What was measured.
        peer: Who we are compared with.
        unit: Unit of ``ours`` and ``theirs``.
        ours: Median of our side.
        theirs: Median of the peer's side.
        ratio: Median over pairs; above 1 means that we are better.
        ratios: All pairs' ratios.
        target: The ratio we wanted, or None if the issue names none.
    """

    name: str
    peer: str
    unit: str
    ours: float
    theirs: float
    ratio: float
    ratios: tuple[float, ...]
    target: float | None


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call, garbage collected before."""
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(
    name: str,
    *,
    peer: str,
    unit: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    higher_is_better: bool,
    pairs: int = 5,
    target: float | None = None,
) -> Claim:
    """Measure both sides ``pairs`` times in alternating order, after one unmeasured call of each.

    Args:
        name: What is measured.
        peer: Who stands on the other side.
        unit: Unit of what ``ours`` and ``theirs`` return.
        ours: One measurement of our side.
        theirs: One measurement of the peer.
        higher_is_better: False for times, True for rates.
        pairs: How many pairs, at least one.
        target: The ratio that we want to reach.
    """
    ours()
    theirs()
    measured: list[tuple[float, float]] = []
    for pair in range(pairs):
        if pair % 2 == 0:
            mine = ours()
            other = theirs()
        else:
            other = theirs()
            mine = ours()
        measured.append((mine, other))
    ratios = tuple(a / b if higher_is_better else b / a for a, b in measured)
    return Claim(
        name=name,
        peer=peer,
        unit=unit,
        ours=statistics.median(a for a, _ in measured),
        theirs=statistics.median(b for _, b in measured),
        ratio=statistics.median(ratios),
        ratios=ratios,
        target=target,
    )


def record(
    benchmark: str, protocol: str, claims: list[Claim], *, packages: tuple[str, ...], facts: Mapping[str, Any]
) -> None:
    """Print the claims with their protocol, and write them as one JSON record."""
    print(f"\n{benchmark}: {protocol}")
    for claim in claims:
        verdict = ""
        if claim.target is not None:
            verdict = (
                f"  target {claim.target:g}: {'reached' if claim.ratio >= claim.target else 'NOT reached'}"
            )
        spread = f"{min(claim.ratios):.3f} to {max(claim.ratios):.3f}"
        print(
            f"  {claim.name} against {claim.peer}: {claim.ours:,.4g} vs {claim.theirs:,.4g} {claim.unit}, "
            f"ratio {claim.ratio:.3f} ({spread}, {len(claim.ratios)} pairs){verdict}"
        )
    for name, value in facts.items():
        print(f"  {name}: {value}")
    RECORDS.mkdir(parents=True, exist_ok=True)
    content = {
        "benchmark": benchmark,
        "protocol": protocol,
        "claims": [asdict(claim) for claim in claims],
        "facts": dict(facts),
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        "packages": {name: version(name) for name in packages},
    }
    path = RECORDS / f"{benchmark}.json"
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
