"""Records of what items are near to: ``docs/results/neighbours/<data set>.<seed>.json``.

`scripts/record_neighbours.py` writes them, `study.neighbour_tables` shows them. The training is one of the
study's runs done again, for its vectors: a record is current while that run has a current record which ended
alike. It holds ids and figures, no text of a data set.
"""

from collections.abc import Sequence
from math import isclose
from pathlib import Path
from typing import Final

from featurestore.spec import Frozen
from scripts.study.core import declare
from scripts.study.groups import Study
from scripts.study.neighbour_figures import Case, Part
from scripts.study.runs import Record, Run, as_lines

RESULTS: Final = Path(__file__).resolve().parents[2] / "docs" / "results" / "neighbours"
MODEL: Final = "lightgcn"
"""Whose ID vectors are compared with those of texts."""
TOP_K: Final = 10
PROTOCOL: Final = 1
"""Raised by hand when the figures, or the codes among the kinds of vectors, are computed otherwise."""


class NeighbourRecord(Frozen):
    """What one training gave.

    Attributes:
        dataset: One of `study.datasets`.
        seed: Of the training.
        protocol: See `PROTOCOL`.
        data: Digest of the data set.
        best_epoch: Whose weights are kept.
        best_metric: Of the validation part, then.
        num_items: Items of the data set; those without a text or a training user are left out.
        top_k: Neighbours of an item.
        parts: Figures by degree.
        cases: Some cold items.
    """

    dataset: str
    seed: int
    protocol: int
    data: str
    best_epoch: int
    best_metric: float
    num_items: int
    top_k: int
    parts: tuple[Part, ...]
    cases: tuple[Case, ...]


def run_of(dataset: str, seed: int) -> Run:
    """The training: that of the study's plain LightGCN."""
    return declare(dataset, MODEL, seed=seed)


def is_current(record: NeighbourRecord, study: Study) -> bool:
    """Whether a record is of these figures, and its training that of a current record of the study."""
    trained = study.group(record.dataset, MODEL).current.records
    return record.protocol == PROTOCOL and any(_is_alike(record, other) for other in trained)


def _is_alike(record: NeighbourRecord, run: Record) -> bool:
    """Whether both are of one seed and data, and ended at the same epoch at the same metric."""
    fit, metric = run.fit, run.fit.best_metric
    names = (run.run.seed, run.data, fit.best_epoch) == (record.seed, record.data, record.best_epoch)
    return names and metric is not None and isclose(metric, record.best_metric, abs_tol=1e-6)


def write(record: NeighbourRecord, folder: Path = RESULTS) -> Path:
    """Write a record, whole or not at all; an earlier one takes its leave."""
    path = folder / f"{record.dataset}.{record.seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".fresh")  # no record, should the process end here
    scratch.write_text(as_lines(record), encoding="utf-8")
    scratch.replace(path)
    return path


def read(dataset: str, folder: Path = RESULTS) -> Sequence[NeighbourRecord]:
    """All records of a data set, by seed."""
    found = [
        NeighbourRecord.model_validate_json(path.read_bytes()) for path in folder.glob(f"{dataset}.*.json")
    ]
    return sorted(found, key=lambda record: record.seed)
