"""The record of an alignment that one shop learned and another reads: all that recmind.md says of it.

``scripts/transfer.py`` writes it.
"""

from pathlib import Path
from typing import Final

from featurestore.spec import Frozen
from scripts.study.command_steps import StepTime
from scripts.study.datasets import ROOT
from scripts.study.runs import as_lines

RECORD: Final = ROOT / "docs" / "results" / "transfer.json"


class Aligned(Frozen):
    """How texts and graph of held-out items agree, see `llm_jobs.tuning.alignment.Alignment`."""

    num_nodes: int
    loss: float
    hit_at_10: float


class Tuned(Frozen):
    """The adapter that was carried.

    Attributes:
        adapter: Digest.
        num_examples: Items that it was tuned on.
        num_tokens: Tokens of their texts, which every epoch reads once.
        steps: Optimiser steps.
        epochs: Passes over the items.
        steps_now: Steps of the run that ended the tuning.
        seconds: Of these.
        peak_bytes: Most memory that the command held, encoding of all texts included.
        before: With a new adapter and a random projection.
        after: When tuning had ended.
    """

    adapter: str
    num_examples: int
    num_tokens: int
    steps: int
    epochs: int
    steps_now: int
    seconds: float
    peak_bytes: int
    before: Aligned
    after: Aligned


class Rare(Frozen):
    """Test pairs of items with few training users.

    Attributes:
        label: How few.
        num_pairs: How many pairs.
        metrics: Metric → mean over these.
    """

    label: str
    num_pairs: int
    metrics: dict[str, float]


class Trained(Frozen):
    """A model of the shop that reads the texts.

    Attributes:
        name: Whose vectors it had.
        epochs: That it was trained.
        metrics: Metric → mean over the test part's users.
        rare: Of rare items.
    """

    name: str
    epochs: int
    metrics: dict[str, float]
    rare: Rare


class Difference(Frozen):
    """Carried minus frozen, see `recommender.evaluation.significance.PairedTest`."""

    difference: float
    low: float
    high: float
    p_value: float


class TransferRecord(Frozen):
    """Everything that the document says.

    Attributes:
        product: Version.
        machine: Facts in words, by name.
        libraries: Their versions.
        data: Data set → digest, see `study.datasets`.
        encoder: Alias of the base.
        settings: Of ``tune recmind`` that were given.
        tuned: In the first shop.
        trained: In the second shop: with vectors of the base, then with those of the carried adapter.
        differences: Metric → test.
        num_users: Users of the test part.
        seed: Of everything random.
        steps: In order.
    """

    product: str
    machine: dict[str, str]
    libraries: dict[str, str]
    data: dict[str, str]
    encoder: str
    settings: dict[str, str]
    tuned: Tuned
    trained: tuple[Trained, Trained]
    differences: dict[str, Difference]
    num_users: int
    seed: int
    steps: tuple[StepTime, ...]


def read_transfer(path: Path = RECORD) -> TransferRecord | None:
    """The record; None if there is none."""
    return TransferRecord.model_validate_json(path.read_bytes()) if path.exists() else None


def write_transfer(record: TransferRecord, path: Path = RECORD) -> None:
    """Write the record, whole or not at all."""
    fresh = path.with_suffix(".fresh")
    fresh.write_text(as_lines(record), encoding="utf-8")
    fresh.replace(path)
