"""The runs of LLMGR (arXiv 2402.16539), in the order in which they tell most.

Six models of sessions beside SASRec and the controls, on user sequences and on sessions of clicks; three of
them, which LLMGR was plugged into, with texts read as frozen vectors; and `recommender.models.llmgr`, which
is what of LLMGR is served without a language model. Here its vectors are those that a data set has, of a
frozen encoder: whatever a tuned decoder adds must be more than this.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from scripts.study.core import AMAZON, declare
from scripts.study.datasets import SLICE
from scripts.study.runs import Form, Run

MODEL: Final = "llmgr"
BASES: Final = ("gcsan", "gru4rec", "stamp")
"""What LLMGR was plugged into."""
OTHERS: Final = ("niser", "srgnn", "narm")
BESIDE: Final = ("popularity", "counting", "sasrec")
FUSIONS: Final = ("concat", "gate")
TEXT_ONLY: Final = "text-only"
ON_OTHER_BASES: Final[Mapping[str, Mapping[str, str]]] = {
    f"on-{base}": {"base": base} for base in BASES if base != "gcsan"
}
THRESHOLDS: Final = (3, 5, 10, 20)
"""Training sessions up to which an item's text is read, in the hybrid form."""
_TRAINED: Final = {"monitor": SLICE.monitor, "epochs": "60"}
_UNTRAINED: Final = ("popularity", "counting")
_TEXTS: Final[tuple[Form, ...]] = ("text", "shuffled", "random")
_SEEDS: Final = (0, 1, 2)


def minimum() -> list[Run]:
    """What the results stand on."""
    beauty = AMAZON[0]
    runs = [declare(beauty, model) for model in (*BESIDE, *BASES, *OTHERS)]
    runs += with_texts(beauty)
    runs += served(beauty)
    return [*runs, *(on_slice(model) for model in (*BESIDE, *BASES, *OTHERS))]


def queue() -> list[Run]:
    """What would tell more, when there is time or a GPU."""
    runs = [declare(dataset, model, seed=seed) for dataset in AMAZON for seed in _SEEDS for model in BASES]
    for seed in _SEEDS[1:]:
        runs += served(AMAZON[0], seed)
    runs += served(AMAZON[1])
    return [*runs, *(on_slice(model, seed) for seed in _SEEDS[1:] for model in BASES)]


def with_texts(dataset: str) -> Iterator[Run]:
    """Bases that read texts of items as frozen vectors, and the controls of that."""
    for form in _TEXTS:
        yield from (declare(dataset, model, form) for model in BASES)
    for fusion in FUSIONS:
        yield declare(dataset, BASES[0], "text", variant=fusion, settings={"fusion": fusion})
    yield declare(dataset, BASES[0], "text", variant=TEXT_ONLY, settings={"fusion": "replace"})


def served(dataset: str, seed: int = 0) -> Iterator[Run]:
    """LLMGR's small model over frozen vectors, its controls, its other bases, and the hybrid form."""
    yield from (declare(dataset, MODEL, form, seed=seed) for form in _TEXTS)
    variants = ON_OTHER_BASES | {rare(most): {"semantic_max_degree": str(most)} for most in THRESHOLDS}
    for variant, settings in variants.items():
        yield declare(dataset, MODEL, "text", seed=seed, variant=variant, settings=settings)


def rare(most: int) -> str:
    """The variant of the hybrid form that reads texts of items of at most so many training sessions."""
    return f"up-to-{most}"


def on_slice(model: str, seed: int = 0) -> Run:
    """A run on Diginetica's slice."""
    settings = {} if model in _UNTRAINED else dict(_TRAINED)
    return Run(dataset=SLICE.name, model=model, settings=settings, seed=seed)
