"""What benchmarks recorded, for documents beside their folder."""

import json
from typing import Any, TypeAlias

from scripts.study.records import Records

BenchmarkClaim: TypeAlias = dict[str, Any]
"""See ``Claim`` of ``benchmarks/common.py``."""


def benchmark_claims(records: Records, benchmark: str) -> list[BenchmarkClaim]:
    """The claims of a benchmark; none without a record.

    Args:
        records: ``benchmarks`` lies beside their folder.
        benchmark: Name of the record.
    """
    path = records.folder.parent / "benchmarks" / f"{benchmark}.json"
    return json.loads(path.read_text(encoding="utf-8"))["claims"] if path.exists() else []


def times_theirs(claim: BenchmarkClaim) -> float:
    """Of a claim where less is better: ours as a multiple of the peer's, median over pairs."""
    return 1 / claim["ratio"]
