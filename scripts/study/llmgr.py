"""The runs of the bases that LLMGR plugs into (arXiv 2402.16539), in the order in which they tell most.

Six models of sessions beside SASRec and the controls, on user sequences and on sessions of clicks; and, as
the control that LLMGR must beat, three of them with texts read as frozen vectors.
"""

from collections.abc import Iterator
from typing import Final

from scripts.study.core import AMAZON, declare
from scripts.study.runs import Form, Run
from scripts.study.session_slice import SLICE

BASES: Final = ("gcsan", "gru4rec", "stamp")
"""What LLMGR was plugged into."""
OTHERS: Final = ("niser", "srgnn", "narm")
BESIDE: Final = ("popularity", "counting", "sasrec")
_TRAINED: Final = {"monitor": SLICE.monitor, "epochs": "60"}
_UNTRAINED: Final = ("popularity", "counting")
_TEXTS: Final[tuple[Form, ...]] = ("text", "shuffled", "random")
_SEEDS: Final = (0, 1, 2)


def minimum() -> list[Run]:
    """What the results stand on."""
    beauty = AMAZON[0]
    runs = [declare(beauty, model) for model in (*BESIDE, *BASES, *OTHERS)]
    runs += with_texts(beauty)
    return [*runs, *(on_slice(model) for model in (*BESIDE, *BASES, *OTHERS))]


def queue() -> list[Run]:
    """What would tell more, when there is time or a GPU."""
    runs = [declare(dataset, model, seed=seed) for dataset in AMAZON for seed in _SEEDS for model in BASES]
    return [*runs, *(on_slice(model, seed) for seed in _SEEDS[1:] for model in BASES)]


def with_texts(dataset: str) -> Iterator[Run]:
    """Bases that read texts of items as frozen vectors, and the controls of that."""
    for form in _TEXTS:
        yield from (declare(dataset, model, form) for model in BASES)


def on_slice(model: str, seed: int = 0) -> Run:
    """A run on Diginetica's slice."""
    settings = {} if model in _UNTRAINED else dict(_TRAINED)
    return Run(dataset=SLICE.name, model=model, settings=settings, seed=seed)
