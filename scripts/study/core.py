"""The runs of docs/results/core.md, in the order in which they tell most.

Settings are those of the models' files unless they stand here, each with where it comes from. Nothing here
was chosen by a test part.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from scripts.study.datasets import find_dataset
from scripts.study.runs import Form, Run

GRAPH_MODELS: Final = (
    "lightgcn",
    "xsimgcl",
    "simgcl",
    "sgl",
    "ncl",
    "directau",
    "lightgcl",
    "mixgcf",
    "simplex",
    "ngcf",
    "bpr_mf",
)
CONTROLS: Final = ("popularity", "counting", "item_knn", "ease", "random")
SEQUENTIAL: Final = ("sasrec",)
TEXT_CONTROL: Final = "text_knn"
LASTFM: Final = "colakg-lastfm"
AMAZON: Final = ("amazon14-beauty", "amazon14-toys")
GOWALLA: Final = "gowalla"
FULL: Final = "full"
_FUSIONS: Final = ("replace", "concat", "gate", "init")
_SEEDS: Final = (0, 1, 2)

_TRAINED: Final[Mapping[str, Mapping[str, str]]] = {
    # Validation every 10 epochs of 26 steps; 50 epochs without a better value end training.
    LASTFM: {"epochs": "600", "eval_every": "10", "patience": "5"},
    # As `featurestore train` does: every 5 epochs of 65 to 76 steps, 25 without a better value.
    "amazon14-beauty": {"epochs": "200"},
    "amazon14-toys": {"epochs": "200"},
    "agent4rec-ml1m": {"epochs": "600", "eval_every": "10", "patience": "5"},
    # The learning rate of the model's file is five times the paper's: the time is short.
    GOWALLA: {"epochs": "1000"},
}
"""Epochs at most, and when validation ends training; each data set's monitor comes with it."""
_PAPER_ON_GOWALLA: Final = {
    # He et al. 2020, section 4.1.2: learning rate 0.001, batches of 2,048, reg 1e-4, 1,000 epochs.
    "epochs": "1000",
    "learning_rate": "0.001",
    "batch_size": "2048",
    "reg": "0.0001",
    "num_layers": "3",
    "patience": "20",
}


def minimum() -> list[Run]:
    """What the results stand on."""
    runs = [*controls(LASTFM), declare(LASTFM, TEXT_CONTROL, "text")]
    runs += _grid(LASTFM, ("plain", "text"), (0,))
    for dataset in AMAZON:
        runs += controls(dataset)
    runs += _grid(LASTFM, ("shuffled", "random"), (0,))
    runs += _grid(LASTFM, ("plain", "text", "shuffled", "random"), _SEEDS[1:])
    for dataset in AMAZON:
        runs += [declare(dataset, model) for model in ("lightgcn", "xsimgcl", "sasrec")]
    runs += [declare(AMAZON[0], "lightgcn", seed=seed) for seed in _SEEDS[1:]]
    limited = declare(GOWALLA, "lightgcn").model_copy(update={"max_minutes": 120.0})
    return [*runs, declare(GOWALLA, "popularity"), limited]


def queue() -> list[Run]:
    """What would tell more, when there is time or a GPU."""
    runs = list(_grid(LASTFM, ("both",), (0,)))
    runs += [declare(LASTFM, "lightgcn", "text", variant=f, settings={"fusion": f}) for f in _FUSIONS]
    for dataset in AMAZON:
        for form in ("text", "shuffled", "random"):
            runs += [declare(dataset, model, form) for model in ("lightgcn", "xsimgcl", "sasrec")]
        runs.append(declare(dataset, TEXT_CONTROL, "text"))
    runs.append(declare(GOWALLA, "lightgcn", variant=FULL, settings=_PAPER_ON_GOWALLA))
    for dataset in AMAZON:
        runs += [declare(dataset, model, seed=seed) for seed in _SEEDS[1:] for model in ("xsimgcl", "sasrec")]
    runs += [*controls("agent4rec-ml1m"), declare("agent4rec-ml1m", TEXT_CONTROL, "text")]
    runs += _grid("agent4rec-ml1m", ("plain", "text"), (0,))
    declared = {run.name for run in minimum()} | {run.name for run in runs}
    others = [run for dataset in AMAZON for run in _grid(dataset, ("plain", "text"), (0,))]
    return [*runs, *(run for run in others if run.name not in declared)]


def controls(dataset: str) -> Iterator[Run]:
    """Models that learn nothing by gradient."""
    yield from (declare(dataset, model) for model in CONTROLS)


def _grid(dataset: str, forms: tuple[Form, ...], seeds: tuple[int, ...]) -> Iterator[Run]:
    for seed in seeds:
        for model in GRAPH_MODELS:
            for form in forms:
                yield declare(dataset, model, form, seed=seed)


def declare(
    dataset: str,
    model: str,
    form: Form = "plain",
    *,
    seed: int = 0,
    variant: str = "",
    settings: Mapping[str, str] | None = None,
) -> Run:
    """A run with the epochs, and the validation, that all runs on its data set have."""
    trained: dict[str, str] = {}
    if model not in {*CONTROLS, TEXT_CONTROL}:
        trained = {"monitor": find_dataset(dataset).monitor, **_TRAINED[dataset]}
    return Run(
        dataset=dataset,
        model=model,
        form=form,
        variant=variant,
        settings=trained | dict(settings or {}),
        seed=seed,
    )
