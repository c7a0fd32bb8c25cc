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
from recommender.data import IntArray
from recommender.evaluation.significance import NUM_DRAWS, PairedTest, holm, paired_tests
from recommender.metrics import Float64Array, pair_metrics
from scripts.study.item_parts import ItemPart
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

    def family(
        self, sides: Mapping[str, Sides], metric: str, part: ItemPart | None = None
    ) -> dict[str, PairedTest]:
        """Tests that are read together, Holm-corrected over all of them.

        Args:
            sides: Name → what to compare; seeds that both have are averaged, or all if they share none or one
                side trains nothing.
            metric: Such as ``ndcg@10``; recall or NDCG of a part.
            part: Only these test pairs, each ranked as if it were its user's only one, as in
                `RankMetrics.item_part`; users are drawn with all that they have in it.
        """
        raw = {name: self._test(*_shared_seeds(*pair), metric, part) for name, pair in sides.items()}
        corrected = holm({name: test.p_value for name, test in raw.items()})
        return {name: replace(test, holm_p_value=corrected[name]) for name, test in raw.items()}

    def save(self) -> None:
        """Write the tests that were asked for; others are dropped."""
        lines = [f"{json.dumps(key)}: {json.dumps(self._used[key])}" for key in sorted(self._used)]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")

    def _test(
        self, ours: Sequence[Record], theirs: Sequence[Record], metric: str, part: ItemPart | None
    ) -> PairedTest:
        sides = [[record.ranks for record in side] for side in (ours, theirs)]
        bounds = [] if part is None else [[part.fewest, part.most]]
        key = digest([sides, metric, NUM_DRAWS, ours[0].data, *bounds])
        if key not in self._known:
            means = [self._mean(side, metric, part) for side in (ours, theirs)]
            units = None if part is None else self._users(ours[0], part)
            self._known[key] = list(asdict(paired_tests({"": means[0]}, means[1], units=units)[""]).values())
        self._used[key] = self._known[key]
        return PairedTest(*self._known[key])

    def _mean(self, side: Sequence[Record], metric: str, part: ItemPart | None) -> Float64Array:
        """Over seeds: of every user, or of every pair of a part."""
        return np.mean([self._values(record, metric, part) for record in side], axis=0)

    def _values(self, record: Record, metric: str, part: ItemPart | None) -> Float64Array:
        cutoffs = (int(metric.partition("@")[2]),)
        if part is None:
            return self._records.per_user(record, cutoffs)[metric]
        inside = part.inside(self._records.pairs(record.run.dataset).item_degrees)
        return pair_metrics(self._records.ranks(record), cutoffs)[metric][inside]

    def _users(self, record: Record, part: ItemPart) -> IntArray:
        pairs = self._records.pairs(record.run.dataset)
        return pairs.users[part.inside(pairs.item_degrees)]


def _shared_seeds(ours: Sequence[Record], theirs: Sequence[Record]) -> Sides:
    shared = {record.run.seed for record in ours} & {record.run.seed for record in theirs}
    if not shared or not all(any(record.fit.epochs for record in side) for side in (ours, theirs)):
        return ours, theirs  # what trains nothing is the same for all seeds
    first, second = ([r for r in side if r.run.seed in shared] for side in (ours, theirs))
    return first, second
