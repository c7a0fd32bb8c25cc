"""Paired tests between recorded runs, computed once: drawing 10,000 samples of users takes seconds.

``comparisons.json`` beside the records holds them by a digest of the ranks that were compared, so a table can
be written anew without drawing, and a record that was replaced is compared anew.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from featurestore.ids import digest
from recommender.evaluation.significance import NUM_DRAWS, PairedTest, holm, paired_tests
from recommender.metrics import Float64Array
from scripts.study.records import Records
from scripts.study.runs import Record

FILE: Final = "comparisons.json"
Sides: TypeAlias = tuple[Sequence[Record], Sequence[Record]]
"""Records of seeds of ours, and of what it is compared with; at least one each."""


class Comparisons:
    """Tests between runs of one data set, see `recommender.evaluation.significance`.

    Args:
        records: Whose ranks are compared; the file lies in their folder.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._path: Path = records.folder / FILE
        self._known: dict[str, list[float]] = {}
        if self._path.exists():
            self._known = json.loads(self._path.read_text(encoding="utf-8"))
        self._used: dict[str, list[float]] = {}

    def family(self, sides: Mapping[str, Sides], metric: str) -> dict[str, PairedTest]:
        """Tests that are read together, Holm-corrected over all of them.

        Args:
            sides: Name → what to compare; seeds that both have, or all if they share none, are averaged.
            metric: Such as ``ndcg@10``.
        """
        raw = {name: self._test(*_shared_seeds(*pair), metric) for name, pair in sides.items()}
        corrected = holm({name: test.p_value for name, test in raw.items()})
        return {name: replace(test, holm_p_value=corrected[name]) for name, test in raw.items()}

    def save(self) -> None:
        """Write the tests that were asked for; others are dropped."""
        lines = [f"{json.dumps(key)}: {json.dumps(self._used[key])}" for key in sorted(self._used)]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")

    def _test(self, ours: Sequence[Record], theirs: Sequence[Record], metric: str) -> PairedTest:
        sides = [[record.ranks for record in side] for side in (ours, theirs)]
        key = digest([sides, metric, NUM_DRAWS, ours[0].data])
        if key not in self._known:
            tests = paired_tests({"": self._mean(ours, metric)}, self._mean(theirs, metric))
            self._known[key] = list(asdict(tests[""]).values())
        self._used[key] = self._known[key]
        return PairedTest(*self._known[key])

    def _mean(self, side: Sequence[Record], metric: str) -> Float64Array:
        cutoffs = (int(metric.partition("@")[2]),)
        return np.mean([self._records.per_user(record, cutoffs)[metric] for record in side], axis=0)


def _shared_seeds(ours: Sequence[Record], theirs: Sequence[Record]) -> Sides:
    shared = {record.run.seed for record in ours} & {record.run.seed for record in theirs}
    if not shared:
        return ours, theirs
    first, second = ([r for r in side if r.run.seed in shared] for side in (ours, theirs))
    return first, second
