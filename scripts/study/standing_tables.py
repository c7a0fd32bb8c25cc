"""What of a study has been run, and what has not."""

from collections import Counter
from collections.abc import Iterator, Sequence

from scripts.study.groups import DAGGER, NOT_RUN, Study
from scripts.study.runs import Run
from scripts.study.tables import table


def status(study: Study, minimum: Sequence[Run]) -> Iterator[str]:
    """How many runs of each data set are current, earlier or not run."""
    yield "## What has been run\n"
    least = {run.name for run in minimum}
    rows: list[list[str]] = []
    for dataset in study.datasets():
        for part, wanted in (("minimum", True), ("queue", False)):
            states = Counter(
                s.state
                for s in study.standings
                if s.run.dataset == dataset and (s.run.name in least) == wanted
            )
            if states:
                current, earlier = states["current"], states["earlier"]
                rest = sum(states.values()) - current - earlier
                rows.append([dataset, part, f"{current}", f"{earlier}", f"{rest}"])
    yield from table(["data set", "part", "current", f"earlier {DAGGER}", NOT_RUN], rows)


def not_run(study: Study) -> Iterator[str]:
    """Runs without a record, by name."""
    yield "## Not run\n"
    missing: dict[tuple[str, str], list[str]] = {}
    for standing in study.standings:
        if standing.record is None:
            run = standing.run
            missing.setdefault((run.dataset, run.model), []).append(f"{run.label} {run.seed}")
    rows = [[dataset, f"`{model}`", ", ".join(runs)] for (dataset, model), runs in missing.items()]
    yield from table(["data set", "model", "form and seed"], rows)
    if not rows:
        yield "Everything has been run."
