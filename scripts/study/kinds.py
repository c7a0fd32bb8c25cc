"""What a model reads, and the best of each kind: chosen by validation, so that the test part decides nothing.

Records of earlier code, and forms whose texts saw validation events, are no choice.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

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
from scripts.study.tables import form_name

COUNTS: Final = "interactions, counted; nothing is trained"
TEXT_ALONE: Final = "texts alone"
GRAPH: Final = "the graph of interactions"
GRAPH_TEXT: Final = "the graph, and texts of items"
HISTORY: Final = "the order of events"
HISTORY_TEXT: Final = "the order of events, and texts of items"
KINDS: Final = (COUNTS, TEXT_ALONE, GRAPH, GRAPH_TEXT, HISTORY, HISTORY_TEXT)
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
    """

    model: str
    label: str
    group: Group

    @property
    def name(self) -> str:
        """As tables write it."""
        return f"`{self.model}`" if self.label == "plain" else f"`{self.model}` {form_name(self.label)}"

    def validation(self, metric: str) -> float:
        """Mean over seeds of a validation metric."""
        return float(np.mean([record.validation.get(metric, 0.0) for record in self.group.records]))


def kind_of(model: str, label: str) -> str | None:
    """What a model reads; None for controls that are no choice, and for texts that saw validation events."""
    form, _, variant = label.partition("-")
    if form not in {"plain", "text", "tuned"} or model == "random":
        return None
    if model in CONTROLS:
        return COUNTS
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
    best: dict[str, Chosen] = {}
    for model in study.models(dataset):
        for label in study.labels(dataset):
            kind = kind_of(model, label)
            found = Chosen(model, label, study.comparable(dataset, model, label).current)
            if kind is None or not found.group.records:
                continue
            if kind not in best or found.validation(metric) > best[kind].validation(metric):
                best[kind] = found
    return {kind: best[kind] for kind in KINDS if kind in best}
