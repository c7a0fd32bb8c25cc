"""Records of what items are near to: ``docs/results/neighbours/<data set>.<seed>.json``.

`scripts/record_neighbours.py` writes them, `study.neighbour_tables` shows them. A record is current while the
code that its model reaches, the figures' protocol and the data are as they were. It holds ids and figures, no
text of a data set.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from featurestore.ids import digest
from featurestore.spec import Frozen
from scripts.study.code_version import run_version
from scripts.study.core import declare
from scripts.study.neighbour_figures import Case, Part
from scripts.study.runs import Run, as_lines

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
        code: See `neighbour_version`.
        data: Digest of the data set.
        best_epoch: Whose weights are kept.
        num_items: Items of the data set; those without a text or a training user are left out.
        top_k: Neighbours of an item.
        parts: Figures by degree.
        cases: Some cold items.
    """

    dataset: str
    seed: int
    code: str
    data: str
    best_epoch: int
    num_items: int
    top_k: int
    parts: tuple[Part, ...]
    cases: tuple[Case, ...]


def run_of(dataset: str, seed: int) -> Run:
    """The training: that of the study's plain LightGCN."""
    return declare(dataset, MODEL, seed=seed)


def neighbour_version(dataset: str, seed: int) -> str:
    """The version of what a record is computed with."""
    return digest([PROTOCOL, run_version(run_of(dataset, seed)), run_of(dataset, seed).settings])


def is_current(record: NeighbourRecord, data: str | None) -> bool:
    """Whether a record is of this code and data; None: of whatever data."""
    return record.code == neighbour_version(record.dataset, record.seed) and data in {None, record.data}


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
