"""The runs of docs/results/recmind.md, in the order in which they tell most.

RecMind beside models of the graph alone, beside two of its kind (RLMRec and AlphaRec, reconstructed), and
beside itself with one part taken out, or one setting changed. Settings are those of the models' files.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from scripts.study.core import AMAZON, LASTFM, declare
from scripts.study.runs import Run

MODEL: Final = "recmind"
TEXT_SETS: Final = (LASTFM, "agent4rec-ml1m")
"""Data sets whose texts large models wrote."""
GRAPH_ONLY: Final = ("lightgcn", "xsimgcl", "lightgcl")
OF_ITS_KIND: Final = ("rlmrec", "alpharec")
WITHOUT_ALIGNMENT: Final = "no-alignment"
WITHOUT_WARM_UP: Final = "no-warm-up"
LATE_FUSION: Final = "late-fusion"
VARIANTS: Final[Mapping[str, Mapping[str, str]]] = {
    WITHOUT_ALIGNMENT: {"align": "none"},
    LATE_FUSION: {"fixed_gate": "1"},
    WITHOUT_WARM_UP: {"alignment_epochs": "0"},
    "text-only": {"alpha": "0", "num_layers": "0", "align": "none"},
    "graph-only": {"alpha": "1", "fixed_gate": "1", "align": "none"},
    "users-aligned": {"align": "users"},
    "items-aligned": {"align": "items"},
    "fixed-gate": {"fixed_gate": "0.5"},
    "items-gated": {"gate_sides": "items"},
}
"""RecMind with a part taken out, and what that is in settings."""
STRONGER: Final[Mapping[str, Mapping[str, str]]] = {
    "alignment-0.1": {"alignment_weight": "0.1"},
    "alignment-0.1-of-512": {"alignment_weight": "0.1", "alignment_pairs": "512"},
}
"""RecMind with more alignment than λ = 0.01 of 128 pairs: is that why it costs nothing to remove?"""
_SEEDS: Final = (0, 1, 2)


def minimum() -> list[Run]:
    """What the results stand on."""
    runs: list[Run] = []
    for seed in _SEEDS:
        for dataset in TEXT_SETS:
            runs += _compared(dataset, seed)
    for seeds in ((0,), _SEEDS[1:]):
        for dataset in TEXT_SETS:
            runs += _taken_apart(dataset, seeds)
    runs += [
        declare(dataset, MODEL, "text", variant=variant, settings=settings)
        for dataset in TEXT_SETS
        for variant, settings in STRONGER.items()
    ]
    return [*runs, *_compared(AMAZON[0], 0)]


def queue() -> list[Run]:
    """What would tell more, when there is time or a GPU."""
    runs = [declare(dataset, MODEL, "both", seed=seed) for dataset in TEXT_SETS for seed in _SEEDS]
    runs += _compared(AMAZON[1], 0)
    for dataset in AMAZON:
        runs += _taken_apart(dataset, (0,))
    return runs


def _compared(dataset: str, seed: int) -> Iterator[Run]:
    """RecMind and what it has to beat."""
    yield declare(dataset, MODEL, "text", seed=seed)
    yield declare(dataset, "lightgcn", seed=seed)
    yield declare(dataset, "lightgcn", "text", seed=seed)
    yield from (declare(dataset, model, "text", seed=seed) for model in OF_ITS_KIND)
    yield from (declare(dataset, model, seed=seed) for model in GRAPH_ONLY[1:])


def _taken_apart(dataset: str, seeds: Sequence[int]) -> Iterator[Run]:
    """RecMind without one of its parts, or with vectors that say nothing."""
    for seed in seeds:
        for variant, settings in VARIANTS.items():
            yield declare(dataset, MODEL, "text", seed=seed, variant=variant, settings=settings)
        for form in ("shuffled", "random"):
            yield declare(dataset, MODEL, form, seed=seed)
