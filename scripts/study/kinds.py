"""What a model reads, and the best of each kind: chosen by validation, so that the test part decides nothing.

Records of earlier code, and forms whose texts saw validation events, are no choice. What does more than count
is compared with what only counts and reads no more than it does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from recommender.evaluation.significance import PairedTest
from scripts.study.comparisons import Comparisons, Sides
from scripts.study.core import CONTROLS, GRAPH_MODELS, SEQUENTIAL, TEXT_CONTROL
from scripts.study.datasets import find_dataset
from scripts.study.groups import Group, Study
from scripts.study.isrf import MODEL as ISRF
from scripts.study.lghrec import MODEL as LGHREC
from scripts.study.llmgr import BASES, OTHERS
from scripts.study.llmgr import MODEL as LLMGR
from scripts.study.recmind import MODEL as RECMIND
from scripts.study.recmind import OF_ITS_KIND
from scripts.study.sequential import MODELS as SEQUENTIAL_MODELS
from scripts.study.tables import YARDSTICK, form_name

COUNTED: Final = "interactions, counted"
COUNTED_ORDER: Final = "the order of events, counted"
TEXT_ALONE: Final = "texts alone"
GRAPH: Final = "the graph of interactions"
GRAPH_TEXT: Final = "the graph, and texts of items"
HISTORY: Final = "the order of events"
HISTORY_TEXT: Final = "the order of events, and texts of items"
KINDS: Final = (COUNTED, COUNTED_ORDER, TEXT_ALONE, GRAPH, GRAPH_TEXT, HISTORY, HISTORY_TEXT)
TRAINED: Final = (GRAPH, GRAPH_TEXT, HISTORY, HISTORY_TEXT)
_OF_HISTORIES: Final = frozenset(
    {*SEQUENTIAL, *BASES, *OTHERS, LLMGR, *(model for model, _ in SEQUENTIAL_MODELS)}
)
_OF_GRAPHS: Final = frozenset({*GRAPH_MODELS, RECMIND, *OF_ITS_KIND, LGHREC, ISRF})
_SEQUENTIAL_ISRF: Final = "sequential"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The best of a kind by validation.

    Attributes:
        model: Model.
        label: Form and variant.
        group: Its current records.
        num_candidates: Models and forms of the kind that it was chosen from, itself included.
    """

    model: str
    label: str
    group: Group
    num_candidates: int = 1

    @property
    def name(self) -> str:
        """As tables write it."""
        return f"`{self.model}`" if self.label == "plain" else f"`{self.model}` {form_name(self.label)}"

    @property
    def told(self) -> str:
        """The name, and whether nothing else of its kind was run where there is something else."""
        is_only = self.num_candidates == 1 and self.model not in {YARDSTICK, TEXT_CONTROL}
        return f"{self.name}, the only one run" if is_only else self.name

    def validation(self, metric: str) -> float:
        """Mean over seeds of a validation metric."""
        return float(np.mean([record.validation.get(metric, 0.0) for record in self.group.records]))


@dataclass(frozen=True, slots=True)
class Against:
    """A test, and what it is against.

    Attributes:
        test: Of the data set's second metric.
        control: What only counts.
    """

    test: PairedTest
    control: Chosen


def kind_of(model: str, label: str) -> str | None:
    """What a model reads; None for controls that are no choice, and for texts that saw validation events."""
    form, _, variant = label.partition("-")
    if form not in {"plain", "text", "tuned"} or model == "random":
        return None
    if model in CONTROLS:
        return COUNTED_ORDER if model == YARDSTICK else COUNTED
    if model == TEXT_CONTROL:
        return TEXT_ALONE
    if model in _OF_HISTORIES or variant.startswith(_SEQUENTIAL_ISRF):
        return HISTORY if form == "plain" else HISTORY_TEXT
    if model in _OF_GRAPHS:
        return GRAPH if form == "plain" else GRAPH_TEXT
    return None


def best_of_kinds(study: Study, dataset: str) -> dict[str, Chosen]:
    """Kind → its best by the data set's second metric on validation, in the order of `KINDS`."""
    metric = find_dataset(dataset).metrics[1]
    candidates: dict[str, list[Chosen]] = {}
    for model in study.models(dataset):
        for label in study.labels(dataset):
            kind = kind_of(model, label)
            found = Chosen(model, label, study.comparable(dataset, model, label).current)
            if kind is not None and found.group.records:
                candidates.setdefault(kind, []).append(found)
    best = {kind: max(found, key=lambda each: each.validation(metric)) for kind, found in candidates.items()}
    return {kind: replace(best[kind], num_candidates=len(candidates[kind])) for kind in KINDS if kind in best}


def control_of(best: Mapping[str, Chosen], kind: str, metric: str) -> Chosen | None:
    """What only counts and reads no more than a kind does, the best of it by a validation metric."""
    kinds = (COUNTED, COUNTED_ORDER) if kind in {HISTORY, HISTORY_TEXT} else (COUNTED,)
    found = [best[each] for each in kinds if each in best]
    return max(found, key=lambda each: each.validation(metric), default=None)


def against_controls(comparisons: Comparisons, best: Mapping[str, Chosen], metric: str) -> dict[str, Against]:
    """Each kind that does more than count against `control_of` it; one family."""
    controls = {
        kind: control
        for kind in best
        if kind not in {COUNTED, COUNTED_ORDER} and (control := control_of(best, kind, metric)) is not None
    }
    sides: dict[str, Sides] = {
        kind: (best[kind].group.records, control.group.records) for kind, control in controls.items()
    }
    tests = comparisons.family(sides, metric)
    return {kind: Against(tests[kind], control) for kind, control in controls.items()}
