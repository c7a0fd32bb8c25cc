"""Records on disk: ``docs/results/runs/<data set>/<model>.<form>.<seed>.json``, ranks as ``.npz`` beside it.

A run has one record: one that was computed again takes the place of the earlier one, whose text is in the
repository's history. ``dataset.json`` and ``pairs.npz`` say what the test part is, once for all runs.
"""

import fcntl
import json
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from featurestore.errors import StoreError
from featurestore.ids import digest_bytes
from recommender.data import IntArray
from recommender.evaluation.strata import Cut
from recommender.metrics import CUTOFFS, Float64Array, RankGroups, ranking_metrics
from scripts.study.runs import DatasetFacts, Record, Run, as_lines

RESULTS: Final = Path(__file__).resolve().parents[2] / "docs" / "results" / "runs"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Held-out pairs of the test part, in the order of every run's ranks.

    Attributes:
        users: (m,) int64 user rows, ascending.
        item_degrees: (m,) int64 training users of each pair's item.
        user_degrees: (m,) int64 items that each pair's user had in training.
    """

    users: IntArray
    item_degrees: IntArray
    user_degrees: IntArray


class Records:
    """All records of a folder.

    Args:
        folder: ``docs/results/runs``, or another one in tests.
    """

    def __init__(self, folder: Path = RESULTS) -> None:
        self.folder = folder

    def path(self, run: Run) -> Path:
        """Where a run's record lies, whether there is one or not."""
        return self.folder / run.dataset / f"{run.model}.{run.label}.{run.seed}.json"

    def find(self, run: Run) -> Record | None:
        """The newest record of a run, which may be of other code, settings or data; None without any."""
        path = self.path(run)
        return Record.model_validate_json(path.read_bytes()) if path.exists() else None

    def facts(self, dataset: str) -> DatasetFacts | None:
        """What is known of a data set; None if nothing of it was ever run."""
        path = self.folder / dataset / "dataset.json"
        return DatasetFacts.model_validate_json(path.read_bytes()) if path.exists() else None

    def describe(self, dataset: str, facts: DatasetFacts, pairs: Pairs) -> None:
        """Write what a data set is, unless it is written already."""
        if self.facts(dataset) == facts:
            return
        arrays = {name: _narrow(getattr(pairs, name)) for name in ("users", "item_degrees", "user_degrees")}
        _write_arrays(self.folder / dataset / "pairs.npz", arrays)
        _replace(self.folder / dataset / "dataset.json", as_lines(facts).encode())

    def pairs(self, dataset: str) -> Pairs:
        """The test part of a data set."""
        return Pairs(**_read_arrays(self.folder / dataset / "pairs.npz"))

    def save(self, record: Record, better: IntArray, tied: IntArray) -> Record:
        """Write a record and the ranks that it is made of; the record last, whole or not at all.

        Args:
            record: ``ranks`` is filled in here.
            better: (m,) items with a higher score than each held-out item.
            tied: (m,) items with the same score, itself included.

        Returns:
            The record as it was written.
        """
        path = self.path(record.run)
        ranks = {"better": _narrow(better), "tied": _narrow(tied)}
        with self.alone():
            content = _write_arrays(path.with_suffix(".npz"), ranks)
            stored = record.model_copy(update={"ranks": content})
            _replace(path, as_lines(stored).encode())
        return stored

    def rewrite(self, record: Record) -> None:
        """Write a record anew whose ranks lie there already."""
        with self.alone():
            _replace(self.path(record.run), as_lines(record).encode())

    @contextmanager
    def alone(self) -> Generator[None]:
        """While no other process writes records, or the document that is made of all of them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def describe_users(self, dataset: str, cuts: Sequence[Cut]) -> None:
        """Write the groups that test users, by ascending row, belong to; nothing without any."""
        if cuts:
            values = {cut.kind: {"labels": cut.labels, "codes": cut.codes.tolist()} for cut in cuts}
            _replace(self.folder / dataset / "users.json", (json.dumps(values) + "\n").encode())

    def user_groups(self, dataset: str) -> list[Cut]:
        """What `describe_users` wrote."""
        path = self.folder / dataset / "users.json"
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return [Cut(k, tuple(v["labels"]), np.array(v["codes"], np.int64)) for k, v in found.items()]

    def per_user(self, record: Record, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, Float64Array]:
        """Metric → (n,) float64 of every test user, computed anew from the ranks.

        Raises:
            StoreError: If the ranks are not those of the record.
        """
        return ranking_metrics(self.ranks(record), cutoffs).per_user

    def ranks(self, record: Record) -> RankGroups:
        """Where the test pairs stand, in the order of `pairs`.

        Raises:
            StoreError: If the ranks are not those of the record.
        """
        path = self.path(record.run).with_suffix(".npz")
        if not path.exists() or digest_bytes(path.read_bytes()) != record.ranks:
            raise StoreError(
                f"{path.name} does not hold the ranks of {record.run.name}.",
                hint="Restore both files from one commit, or remove the record and run it again.",
            )
        users = self.pairs(record.run.dataset).users
        return RankGroups(users, **_read_arrays(path))


def _narrow(values: IntArray) -> np.ndarray:
    """The same numbers in the smallest of uint16 and int32 that holds them."""
    small = not len(values) or int(values.max()) < 2**16
    return values.astype(np.uint16 if small else np.int32)


def _read_arrays(path: Path) -> dict[str, IntArray]:
    with np.load(path, allow_pickle=False) as opened:
        return {name: opened[name].astype(np.int64) for name in opened.files}


def _write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Write arrays; returns the digest of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    np.savez_compressed(scratch, allow_pickle=False, **arrays)
    scratch.replace(path)
    return digest_bytes(path.read_bytes())


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_bytes(content)
    scratch.replace(path)
