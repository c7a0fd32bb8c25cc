"""The runs of docs/results/isrf.md, in the order in which they tell most.

ISRF's graph form in both tasks, beside models of its kind, and beside itself with another graph of users: the
claim that interests of a group help is tested there. Where texts of users exist, users are compared by these
(form ``both``, which reads validation events); elsewhere by the means of their training items' vectors.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

from scripts.study.beside import Row
from scripts.study.core import AMAZON, LASTFM, declare
from scripts.study.runs import Form, Run

Task: TypeAlias = Literal["direct", "sequential"]

MODEL: Final = "isrf"
TEXT_SETS: Final = (LASTFM, "agent4rec-ml1m")
"""Data sets whose texts of items and users large models wrote."""
TASKS: Final[Mapping[Task, Mapping[str, str]]] = {
    "direct": {},
    "sequential": {
        "task": "sequential",
        "learning_rate": "0.003",
        "init_std": "0.02",
        "num_layers": "2",
        "text_pace": "16",
        "patience": "2",  # of 5 epochs each: it is soon where it gets to
    },
}
"""Settings of each task; those of the sequential one were tried on Beauty's validation part."""
NO_GROUP: Final = "no-graph"
GRAPHS: Final[Mapping[str, Mapping[str, str]]] = {
    NO_GROUP: {"user_graph": "none"},
    "random-graph": {"user_graph": "random"},
    "interactions-graph": {"user_graph": "interactions"},
}
"""What takes the place of the graph of users who resemble each other."""
LITERAL: Final = "no-group-in-scores"
ABLATIONS: Final[Mapping[str, Mapping[str, str]]] = {
    LITERAL: {"group_weight": "0"},
    "no-texts": {"fusion": "none"},
    "texts-only": {"fusion": "replace"},
    "no-adapter": {"adapter": "none"},
    "no-distillation": {"distillation_weight": "0"},
    "no-sequence-alignment": {"sequence_weight": "0"},
    "no-refinement": {"distillation_weight": "0", "sequence_weight": "0"},
    "soft-dot": {"align": "soft_dot", "temperature": "1"},
}
"""ISRF with a part taken out, or in the literal form of the paper or of its code."""
SWEEPS: Final[Mapping[str, Mapping[str, str]]] = {
    "1-layer": {"num_layers": "1"},
    "4-layers": {"num_layers": "4"},
    "2-group-layers": {"group_layers": "2"},
    "4-group-layers": {"group_layers": "4"},
    "10-neighbours": {"num_neighbors": "10"},
    "50-neighbours": {"num_neighbors": "50"},
    "200-neighbours": {"num_neighbors": "200"},
    "weight-0.5": {"group_weight": "0.5"},
    "weight-1": {"group_weight": "1"},
}
"""ISRF with another number of layers, of neighbours, or another weight of the group."""
GRAPH_ONLY: Final = ("lightgcn", "ncl", "xsimgcl")
BESIDE_IT: Final[tuple[Row, ...]] = (
    *((model, "plain") for model in (*GRAPH_ONLY, "sasrec", "counting", "popularity")),
    ("lightgcn", "text"),
    ("sasrec", "text"),
)
"""What both tasks are compared with, where it is declared."""
_SEEDS: Final = (0, 1, 2)
_UNTRAINED: Final = ("counting", "popularity")
_CONTROLS: Final[tuple[Form, ...]] = ("shuffled", "random")


def minimum() -> list[Run]:
    """What the results stand on."""
    beauty, toys = AMAZON
    runs = [ours(beauty, "sequential"), ours(beauty, "sequential", NO_GROUP)]
    for dataset in TEXT_SETS:
        runs += _group_question(dataset, "direct", 0)
    runs += [ours(toys, "sequential"), ours(toys, "sequential", NO_GROUP)]
    runs.append(ours(beauty, "direct"))
    for dataset in AMAZON:
        runs += (declare(dataset, model) for model in ("sasrec", *GRAPH_ONLY, *_UNTRAINED))
    runs += [ours(toys, "direct"), ours(beauty, "direct", NO_GROUP)]
    runs += (ours(beauty, "sequential", graph) for graph in list(GRAPHS)[1:])
    for dataset in TEXT_SETS:
        runs += _trained_beside(dataset, 0)
    for seed in _SEEDS[1:]:
        for dataset in TEXT_SETS:
            runs += [*_group_question(dataset, "direct", seed), *_trained_beside(dataset, seed)]
        runs += [ours(beauty, "sequential", seed=seed), ours(beauty, "direct", seed=seed)]
        runs += (declare(beauty, model, seed=seed) for model in (*GRAPH_ONLY, "sasrec"))
    return _each_once(runs)


def queue() -> list[Run]:
    """What would tell more, when there is time or a GPU."""
    beauty, toys = AMAZON
    parts: list[tuple[str, Task]] = [(LASTFM, "direct"), (beauty, "sequential"), (TEXT_SETS[1], "direct")]
    runs: list[Run] = []
    for dataset, task in parts:
        runs += (ours(dataset, task, variant) for variant in ABLATIONS)
        runs += (
            declare(dataset, MODEL, form, variant=_word(task), settings=TASKS[task]) for form in _CONTROLS
        )
    for dataset, task in parts:
        runs += (ours(dataset, task, variant) for variant in SWEEPS)
    for dataset in AMAZON:
        for task in TASKS:
            runs += (ours(dataset, task, graph) for graph in GRAPHS)
        runs += (declare(dataset, model, "text") for model in ("lightgcn", "sasrec"))
    runs += (ours(toys, task, seed=seed) for seed in _SEEDS[1:] for task in TASKS)
    runs += (declare(dataset, model) for dataset in TEXT_SETS for model in _UNTRAINED)
    least = {run.name for run in minimum()}
    return [run for run in _each_once(runs) if run.name not in least]


def ours(dataset: str, task: Task, variant: str = "", *, seed: int = 0) -> Run:
    """ISRF in one task, as it is or with something other.

    Args:
        dataset: Data set.
        task: Which.
        variant: Of `GRAPHS`, `ABLATIONS` or `SWEEPS`; empty for none.
        seed: Of everything random.
    """
    settings = {**TASKS[task], **({**GRAPHS, **ABLATIONS, **SWEEPS}[variant] if variant else {})}
    form = _form(dataset, variant)
    return declare(dataset, MODEL, form, seed=seed, variant=_word(task, variant), settings=settings)


def row_of(dataset: str, task: Task, variant: str = "") -> Row:
    """Model and label of `ours`."""
    return MODEL, ours(dataset, task, variant).label


def by_items(dataset: str, task: Task) -> Row | None:
    """ISRF whose users resemble each other by their items' texts, where they have texts of their own."""
    return (MODEL, "-".join(filter(None, ("text", _word(task))))) if dataset in TEXT_SETS else None


def _group_question(dataset: str, task: Task, seed: int) -> Iterator[Run]:
    """ISRF, and ISRF with every other graph of users."""
    yield ours(dataset, task, seed=seed)
    yield from (ours(dataset, task, graph, seed=seed) for graph in GRAPHS)
    yield declare(dataset, MODEL, "text", seed=seed, variant=_word(task), settings=TASKS[task])
    yield ours(dataset, task, LITERAL, seed=seed)


def _trained_beside(dataset: str, seed: int) -> Iterator[Run]:
    yield from (declare(dataset, model, seed=seed) for model in GRAPH_ONLY)
    yield declare(dataset, "lightgcn", "text", seed=seed)


def _form(dataset: str, variant: str) -> Form:
    """Texts of users make the graph, and nothing else: without that graph nothing reads them."""
    return "both" if dataset in TEXT_SETS and variant not in GRAPHS else "text"


def _word(task: Task, variant: str = "") -> str:
    return "-".join(filter(None, ("" if task == "direct" else task, variant)))


def _each_once(runs: list[Run]) -> list[Run]:
    """Runs where they stand first; those of one name are equal."""
    return list({run.name: run for run in runs}.values())
