"""The runs of LLMGR (arXiv 2402.16539), in the order in which they tell most.

Six models of sessions beside SASRec and the controls, on user sequences, on sessions of clicks, and on
sessions that pauses cut out of ratings; each of them as a base of `recommender.models.llmgr`, which is what
of LLMGR is served without a language model: with vectors and lists of a tuned decoder
(`study.llmgr_tunings`), and with the vectors that the data set has of a frozen encoder. Whatever a tuned
decoder adds must be more than those do.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from scripts.study.core import AMAZON, declare
from scripts.study.datasets import GAPS, SLICE
from scripts.study.llmgr_tunings import MAIN, TUNINGS, teacher_of
from scripts.study.runs import Form, Run

MODEL: Final = "llmgr"
BASES: Final = ("gcsan", "gru4rec", "stamp")
"""What LLMGR was plugged into."""
OTHERS: Final = ("niser", "srgnn", "narm")
HYPERBOLIC: Final = "hcgr"
"""A model of sessions that LLMGR is not plugged into."""
BESIDE: Final = ("popularity", "counting", "sasrec")
FUSIONS: Final = ("concat", "gate")
TEXT_ONLY: Final = "text-only"
ON_OTHER_BASES: Final[Mapping[str, Mapping[str, str]]] = {
    f"on-{base}": {"base": base} for base in (*BASES, *OTHERS) if base != "gcsan"
}
PARTS: Final[Mapping[str, Mapping[str, str]]] = {
    "vectors-alone": {"teacher_weight": "0"},
    "lists-alone": {"fusion": "none"},
}
"""What of a tuned decoder is read, where it is not both."""
CONTROLS: Final = tuple(tuning.name for tuning in TUNINGS if tuning.name != MAIN)
"""Tunings that leave something out; each is a tuning of its own."""
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
    runs += [tuned(beauty, variant) for variant in ("", *ON_OTHER_BASES)]
    runs += [
        served
        for seed in _SEEDS[1:]
        for served in (declare(beauty, BASES[0], seed=seed), tuned(beauty, seed=seed))
    ]
    runs += [tuned(beauty, variant) for variant in PARTS]
    runs += with_texts(beauty)
    runs += served(beauty)
    runs += [tuned(beauty, name) for name in CONTROLS]
    runs += [on_clicks(GAPS.name, model) for model in (*_UNTRAINED, BASES[0], HYPERBOLIC)]
    return [*runs, *(on_clicks(SLICE.name, model) for model in (*BESIDE, *BASES, *OTHERS, HYPERBOLIC))]


def queue() -> list[Run]:
    """What would tell more, when there is time or a GPU."""
    beauty = AMAZON[0]
    runs = [declare(dataset, model, seed=seed) for dataset in AMAZON for seed in _SEEDS for model in BASES]
    runs += [declare(beauty, model, seed=seed) for seed in _SEEDS[1:] for model in OTHERS]
    for seed in _SEEDS[1:]:
        runs += [tuned(beauty, variant, seed) for variant in (*ON_OTHER_BASES, *PARTS, *CONTROLS)]
        runs += served(beauty, seed)
    runs += [tuned(beauty, rare(most)) for most in THRESHOLDS]
    runs += served(AMAZON[1])
    return [*runs, *(on_clicks(SLICE.name, model, seed) for seed in _SEEDS[1:] for model in BASES)]


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


def tuned(dataset: str, variant: str = "", seed: int = 0) -> Run:
    """LLMGR's small model over what a tuned decoder gave.

    Args:
        dataset: What the decoder was tuned on.
        variant: A base, a part, a threshold, or a tuning other than the paper's; empty for none of these.
        seed: Of everything random.
    """
    hybrid = {rare(most): {"semantic_max_degree": str(most)} for most in THRESHOLDS}
    settings = {**ON_OTHER_BASES, **PARTS, **hybrid}.get(variant, {})
    teacher = teacher_of(variant if variant in CONTROLS else MAIN)
    return declare(
        dataset, MODEL, "tuned", seed=seed, variant=variant, settings={"teacher": teacher, **settings}
    )


def rare(most: int) -> str:
    """The variant of the hybrid form that reads texts of items of at most so many training sessions."""
    return f"up-to-{most}"


def on_clicks(dataset: str, model: str, seed: int = 0) -> Run:
    """A run on sessions that are no user's whole history."""
    settings = {} if model in _UNTRAINED else dict(_TRAINED)
    return Run(dataset=dataset, model=model, settings=settings, seed=seed)
