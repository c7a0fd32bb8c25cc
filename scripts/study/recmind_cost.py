"""What RecMind costs beside LightGCN, as ``benchmarks/recmind_step.py`` recorded it."""

from collections.abc import Iterator
from typing import Final

from scripts.study.benchmark_claims import benchmark_claims, times_theirs
from scripts.study.beside import verdict
from scripts.study.groups import NOT_RUN
from scripts.study.recmind import TEXT_SETS
from scripts.study.records import Records
from scripts.study.tables import table

BENCHMARK: Final = "recmind_step"
MOST_TIMES: Final = 1.5


def step_target(records: Records, dataset: str) -> tuple[str, str]:
    """A step of training as a multiple of LightGCN's, with the alignment and without, and the verdict."""
    claims = [c for c in benchmark_claims(records, f"{BENCHMARK}_{dataset}") if c["name"].endswith("step")]
    if not claims:
        return NOT_RUN, NOT_RUN
    whole, bare = (times_theirs(claim) for claim in claims)
    return f"{whole:.2f}; without alignment {bare:.2f}", verdict(is_reached=whole <= MOST_TIMES)


def measured_cost(records: Records) -> Iterator[str]:
    """Claim by claim, and where the time goes."""
    yield "## Time and memory beside LightGCN\n"
    yield (
        f"`benchmarks/{BENCHMARK}.py`, alternating pairs of an epoch each, models' own settings. What "
        "RecMind has more: products of W with all items' vectors, there and back, and the MLP of users "
        "without texts; gates in every layer; and the alignment, whose cosines of 128 users and 128 items of "
        "a batch with all queued ones are more multiplications than propagation over these graphs.\n"
    )
    rows: list[list[str]] = []
    for dataset in TEXT_SETS:
        claims = benchmark_claims(records, f"{BENCHMARK}_{dataset}")
        if not claims:
            yield f"{dataset}: {NOT_RUN}.\n"
        for claim in claims:
            figures = (f"{claim['ours']:,.4g}", f"{claim['theirs']:,.4g}", claim["unit"])
            times = times_theirs(claim)
            rows.append(
                [dataset, claim["name"], *figures, f"{times:.2f}", verdict(is_reached=times <= MOST_TIMES)]
            )
    yield from table(["data set", "what", "ours", "LightGCN", "unit", "times", f"≤ {MOST_TIMES:g}"], rows)
