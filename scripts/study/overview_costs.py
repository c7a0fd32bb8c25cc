"""What the models of docs/results/README.md cost: training from their records, the rest from benchmarks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from scripts.study.benchmark_claims import benchmark_claims
from scripts.study.groups import NOT_RUN
from scripts.study.kinds import TRAINED, Chosen
from scripts.study.records import Records
from scripts.study.runs import Record
from scripts.study.tables import fastest_step, patience, stopped, table

_HEAD: Final = """## What it costs

Training, of the best of each kind. A step learns from some 2,048 pairs; its time is of one thread, of the
fastest seed, beside other work: no benchmark. *Ends after* so many epochs without a better validation.
"""
_IN_WORDS: Final = """
* **Training nothing**: `popularity`, `item_knn`, `ease`, `counting` and `text_knn` go through interactions,
  or vectors, once. `ease` inverts a matrix of all pairs of its I items: I³ multiplications and 12 I² bytes
  (1.8 GB at 12,000 items), of which it keeps 4 I²; it refuses more items than `max_items`. `counting` takes
  (events of the user)² additions for every user, and memory for each pair of items that any user had.
* **Training, benchmarked** ([speed](speed.md); amazon14-beauty, two threads, memory at its peak): LightGCN
  {lightgcn} and {lightgcn_peak}; ISRF's direct task {isrf} and {isrf_peak}; SASRec {sasrec} an epoch and
  {sasrec_peak}.
* **Scoring** ([speed](speed.md)): all 12,101 items of amazon14-beauty are ranked for {ranking} from ready
  vectors, by two threads; `llmgr` answers a session in {session} (median, as many items, one thread).
* **Vectors of texts**: {encoding} by all-MiniLM-L6-v2 on a CPU ([speed](speed.md)); a night encodes what
  changed ([operations](../operations.md)).
* **Texts that a language model writes**: 24 items in three stages took a model of 135 million parameters 82
  to 88 seconds on two CPU cores ([operations](../operations.md#how-near-it-comes)). `featurestore plan` says
  before a run what it will take; [scaling](../scaling.md) reckons with GPUs, whose speeds it assumes.
"""
_FIGURES: Final = {
    "lightgcn": ("lightgcn_step_tuned", "LightGCN step"),
    "lightgcn_peak": ("lightgcn_step_tuned", "peak memory of LightGCN training"),
    "isrf": ("isrf_step", "ISRF step"),
    "isrf_peak": ("isrf_step", "peak memory of ISRF training"),
    "sasrec": ("sasrec_epoch", "SASRec epoch, length 50"),
    "sasrec_peak": ("sasrec_epoch", "peak memory of SASRec training, length 50"),
    "ranking": ("recommender_evaluation", "full ranking"),
    "session": ("session_latency", "llmgr, 1 session a request, p50"),
    "encoding": ("encode", "encoder alone"),
}
"""What is said of → benchmark and claim."""


def costs(best: Mapping[str, Mapping[str, Chosen]], records: Records) -> Iterator[str]:
    """The section.

    Args:
        best: Data set → kind → its best by validation.
        records: Benchmarks lie beside their folder.
    """
    yield _HEAD
    yield from table(["it reads", "model", "data set", "ms/step", "epochs", "ends after"], _training(best))
    yield _IN_WORDS.format(**{name: _ours(records, *claim) for name, claim in _FIGURES.items()}).lstrip()


def _training(best: Mapping[str, Mapping[str, Chosen]]) -> Iterator[list[str]]:
    for kind in TRAINED:
        for dataset, found in best.items():
            if kind in found:
                of_seeds = found[kind].group.records
                cells = [f"{fastest_step(of_seeds):.0f}", _epochs(of_seeds), patience(of_seeds[0])]
                yield [kind, found[kind].name, dataset, *cells]


def _epochs(of_seeds: Sequence[Record]) -> str:
    """Of the seeds, from fewest to most, and whether a limit of time ended one."""
    counts = sorted({record.fit.epochs for record in of_seeds})
    found = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return ", ".join(filter(None, (found, stopped(of_seeds))))


def _ours(records: Records, benchmark: str, claim: str) -> str:
    """Our figure with its unit, as speed.md has it, of the first claim of that name."""
    found = next((each for each in benchmark_claims(records, benchmark) if each["name"] == claim), None)
    if found is None:
        return NOT_RUN
    return f"{float(format(found['ours'], '.4g')):,g} {found['unit']}"
