"""A run's numbers as a Prometheus text file, for the textfile collector of node_exporter.

Counters are those of the run that wrote the file last: they start at zero with each run, as counters may.
Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4).
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from featurestore.errors import SetupError
from featurestore.progress import RunPhase, RunSnapshot

_PREFIX: Final = "featurestore_run"
_EVERY_SECONDS: Final = 5.0
_OK: Final = "ok"
_Samples: TypeAlias = Iterable[tuple[Mapping[str, str], float]]


@dataclass(frozen=True, slots=True)
class _Metric:
    name: str
    kind: Literal["counter", "gauge"]
    about: str
    samples: _Samples

    def lines(self, common: Mapping[str, str]) -> list[str]:
        name = f"{_PREFIX}_{self.name}"
        head = [f"# HELP {name} {self.about}", f"# TYPE {name} {self.kind}"]
        return head + [f"{name}{_labels({**common, **own})} {value:.15g}" for own, value in self.samples]


def render_metrics(snapshot: RunSnapshot, now: float) -> str:
    """The file's whole text; every line ends with a line feed.

    Args:
        snapshot: Where the run stands.
        now: Unix seconds.
    """
    common = {"feature": snapshot.feature, "model": snapshot.model}
    metrics = [*_counts(snapshot), *_state(snapshot, now)]
    return "\n".join(line for metric in metrics for line in metric.lines(common)) + "\n"


class MetricsFile:
    """Keeps the file current: at every change of phase, and every five seconds in between.

    Args:
        path: The file; its name should end with ``.prom``.

    Raises:
        SetupError: On the first write, if the file cannot be written. Later failures do not end a run: they
            are counted, and the file's time stamp grows old.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._phase: RunPhase | None = None
        self._written_at = 0.0
        self.num_failed = 0
        """Writes that failed."""

    def __call__(self, snapshot: RunSnapshot) -> None:
        """Write the file if it is time to."""
        due = time.monotonic() - self._written_at >= _EVERY_SECONDS
        if snapshot.phase == self._phase and not due:
            return
        first = self._phase is None
        self._phase, self._written_at = snapshot.phase, time.monotonic()
        try:
            self._replace(render_metrics(snapshot, time.time()))
        except OSError as error:
            if first:
                raise SetupError(
                    f"the metrics file {self._path} cannot be written: {error.strerror or error}.",
                    hint="Name a file in a folder that exists and may be written.",
                ) from error
            self.num_failed += 1

    def _replace(self, text: str) -> None:
        partial = self._path.parent / f".{self._path.name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(self._path)


def _counts(snapshot: RunSnapshot) -> list[_Metric]:
    rows = snapshot.rows.items()
    good = [({"stage": stage, "outcome": _OK}, float(found.get(_OK, 0))) for stage, found in rows]
    bad = [
        ({"stage": stage, "outcome": "failed"}, float(sum(n for reason, n in found.items() if reason != _OK)))
        for stage, found in rows
    ]
    reasons = [
        ({"stage": stage, "reason": reason}, float(count))
        for stage, found in rows
        for reason, count in found.items()
        if reason != _OK
    ]
    tokens = {"prompt": snapshot.prompt_tokens, "output": snapshot.output_tokens}
    return [
        _Metric("rows_total", "counter", "Rows written.", [*good, *bad]),
        _Metric("failures_total", "counter", "Failed rows by reason.", reasons),
        _Metric(
            "tokens_total",
            "counter",
            "Tokens read (prompt) and generated (output).",
            [({"kind": kind}, float(count)) for kind, count in tokens.items()],
        ),
        _one("cached_tokens_total", "counter", "Prompt tokens found in the cache.", snapshot.cached_tokens),
        _one("requests_total", "counter", "Requests answered.", snapshot.requests),
    ]


def _state(snapshot: RunSnapshot, now: float) -> list[_Metric]:
    phases: tuple[RunPhase, ...] = get_args(RunPhase)
    entities = {"done": snapshot.done, "planned": snapshot.total}
    metrics = [
        _one("requests_in_flight", "gauge", "Requests not answered yet.", snapshot.in_flight),
        _Metric(
            "entities",
            "gauge",
            "Entities that had something to do, and how many are done.",
            [({"state": state}, float(count)) for state, count in entities.items()],
        ),
        _Metric(
            "phase",
            "gauge",
            "1 for what the run is at, 0 for the others.",
            [({"phase": phase}, float(phase == snapshot.phase)) for phase in phases],
        ),
        _one("seconds", "gauge", "Since the run began.", snapshot.seconds),
        _one(
            "engine_seconds",
            "gauge",
            "From the engine's readiness to its last answer.",
            snapshot.engine_seconds,
        ),
        _one("started_timestamp_seconds", "gauge", "When the run began.", snapshot.started_at),
        _one("updated_timestamp_seconds", "gauge", "When this file was written.", now),
        _Metric("info", "gauge", "Always 1; names the run.", [({"run_id": snapshot.run_id}, 1.0)]),
    ]
    if snapshot.planned_tokens is not None:
        about = "Prompt and output tokens that the plan foresaw."
        metrics.append(_one("planned_tokens", "gauge", about, snapshot.planned_tokens))
    return metrics


def _one(name: str, kind: Literal["counter", "gauge"], about: str, value: float) -> _Metric:
    return _Metric(name, kind, about, [({}, float(value))])


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
