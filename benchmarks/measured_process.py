"""The outer half of a measured process: starts one side of a comparison and asks it for measurements."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from common import Claim

SIDES = Path(__file__).parent / "sides"
TUNED_ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}
"""Freed memory is kept instead of handed back to the system; both sides of a comparison get it, or none."""

ALLOCATORS = {"default": {}, "tuned": TUNED_ALLOCATOR}


class MeasuredProcess:
    """A side that has been set up once and measures on request. To be used in a ``with`` statement.

    Args:
        side: File name within ``benchmarks/sides``.
        *arguments: Its command line.
        allocator: A name of `ALLOCATORS`.
        python: The interpreter of the environment that it runs in.

    Raises:
        RuntimeError: If the process ends instead of answering.
    """

    def __init__(
        self, side: str, *arguments: object, allocator: str, python: Path = Path(sys.executable)
    ) -> None:
        self._side = side
        kept = {name: value for name, value in os.environ.items() if name not in TUNED_ALLOCATOR}
        environment = (
            kept | ALLOCATORS[allocator] | {"PYTHONPATH": str(SIDES.parent), "PYTHONWARNINGS": "ignore"}
        )
        self._process = subprocess.Popen(
            [str(python), str(SIDES / side), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=kept | ALLOCATORS[allocator] | environment,
        )
        self._read()
        self.peak_mb = self.ready_mb = 0.0

    def measure(self, **request: Any) -> dict[str, Any]:
        """One measurement; see `serving.serve` for what is in every answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        self.peak_mb, self.ready_mb = answer["peak_mb"], answer["ready_mb"]
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"benchmarks/sides/{self._side} ended with code {self._process.wait()}")
        return json.loads(line)


def memory_claim(work: str, *, peer: str, ours: MeasuredProcess, theirs: MeasuredProcess) -> Claim:
    """Peak resident memory of all measurements so far, libraries and data included."""
    ratio = theirs.peak_mb / ours.peak_mb
    return Claim(
        name=f"peak memory of {work}",
        peer=peer,
        unit="MB",
        ours=ours.peak_mb,
        theirs=theirs.peak_mb,
        ratio=ratio,
        ratios=(ratio,),
        target=None,
    )
