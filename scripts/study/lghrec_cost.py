"""What HGPO costs beside contrastive models, as ``benchmarks/hgpo_step.py`` recorded it."""

from collections.abc import Iterator
from typing import Final

from scripts.study.benchmark_claims import BenchmarkClaim, benchmark_claims, times_theirs
from scripts.study.beside import verdict
from scripts.study.core import AMAZON, LASTFM
from scripts.study.groups import NOT_RUN
from scripts.study.records import Records
from scripts.study.tables import table

BENCHMARK: Final = "hgpo_step"
MOST_TIMES: Final = 1.5
_STEP, _MEMORY = "step of", "peak memory of"
_TARGETS: Final = {
    f"step with HGPO ≤ {MOST_TIMES:g} times the contrastive model's, by the benchmark": _STEP,
    f"peak memory with HGPO ≤ {MOST_TIMES:g} times the contrastive model's": _MEMORY,
}


def cost_targets(records: Records) -> dict[str, tuple[str, str]]:
    """Target → what all backbones take as a multiple of their peers on colakg-lastfm, and the verdict."""
    claims = benchmark_claims(records, f"{BENCHMARK}_{LASTFM}")
    return {
        target: _judged([c for c in claims if c["name"].startswith(of)]) for target, of in _TARGETS.items()
    }


def measured_cost(records: Records) -> Iterator[str]:
    """Both data sets, claim by claim."""
    yield "## Time and memory beside contrastive models\n"
    yield (
        f"`benchmarks/{BENCHMARK}.py`, alternating pairs of an epoch each. `sgl` and `xsimgcl` keep their "
        "own contrast when HGPO's is added; `lightgcn` has none. Memory is of the whole process, libraries "
        "and data included.\n"
    )
    rows: list[list[str]] = []
    for dataset in (LASTFM, AMAZON[0]):
        claims = benchmark_claims(records, f"{BENCHMARK}_{dataset}")
        if not claims:
            yield f"{dataset}: {NOT_RUN}.\n"
        for claim in claims:
            figures = (f"{claim['ours']:,.4g}", f"{claim['theirs']:,.4g}", claim["unit"])
            times = times_theirs(claim)
            state = verdict(is_reached=times <= MOST_TIMES)
            rows.append([dataset, claim["name"], claim["peer"], *figures, f"{times:.2f}", state])
    yield from table(
        ["data set", "what", "beside", "ours", "theirs", "unit", "times", f"≤ {MOST_TIMES:g}"], rows
    )


def _judged(claims: list[BenchmarkClaim]) -> tuple[str, str]:
    if not claims:
        return "not measured", NOT_RUN
    told = [f"{times_theirs(c):.2f} on {c['name'].rpartition(' on ')[2]} beside {c['peer']}" for c in claims]
    return ", ".join(told), verdict(is_reached=all(times_theirs(c) <= MOST_TIMES for c in claims))
