"""The runs of docs/results/sequential.md, in the order in which they tell most.

Six models that published tables of sequential recommendation stand on, beside SASRec, ISRF's sequential task
and the controls. All of them learn by the softmax over the catalogue; those whose papers have another loss
are run with that, too: what a published figure is below ours may be the loss.
"""

from collections.abc import Mapping
from typing import Final

from scripts.study import isrf
from scripts.study.core import AMAZON, declare
from scripts.study.runs import Form, Run

MODELS: Final[tuple[tuple[str, Form], ...]] = (
    ("hgn", "plain"),
    ("caser", "plain"),
    ("bert4rec", "plain"),
    ("fdsa", "text"),
    ("fpmc", "plain"),
    ("hcgr", "plain"),
)
"""The six; FDSA's second stream reads texts of items."""
CONTROLS: Final = ("counting", "popularity")
PAPERS_LOSS: Final = "papers-loss"
PAPERS_LOSSES: Final[Mapping[str, Mapping[str, str]]] = {
    "hgn": {"objective": "bpr"},
    "caser": {"objective": "bce", "num_negatives": "3"},
    "fpmc": {"objective": "bpr"},
}
"""Settings of the loss that a paper has."""
_FEATURES: Final[tuple[Form, ...]] = ("shuffled", "random")
_SEEDS: Final = (0, 1, 2)


def minimum() -> list[Run]:
    """What the results stand on."""
    runs: list[Run] = []
    for dataset in AMAZON:
        runs += (declare(dataset, model) for model in ("sasrec", *CONTROLS))
        runs.append(isrf.ours(dataset, "sequential"))
        runs += (_ours(dataset, row) for row in MODELS)
    return runs


def queue() -> list[Run]:
    """What would tell more, when there is time or a GPU."""
    runs: list[Run] = []
    for dataset in AMAZON:
        runs += (
            declare(dataset, model, variant=PAPERS_LOSS, settings=settings)
            for model, settings in PAPERS_LOSSES.items()
        )
    for dataset in AMAZON:
        runs.append(declare(dataset, "sasrec", "text"))
        runs += (declare(dataset, "fdsa", form) for form in _FEATURES)
    return [
        *runs,
        *(_ours(dataset, row, seed) for seed in _SEEDS[1:] for dataset in AMAZON for row in MODELS),
    ]


def _ours(dataset: str, row: tuple[str, Form], seed: int = 0) -> Run:
    model, form = row
    return declare(dataset, model, form, seed=seed)
