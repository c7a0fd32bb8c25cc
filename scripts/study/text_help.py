"""Does text help? Sentences whose figures, and whose choice, come from the records."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from recommender.evaluation.significance import PairedTest
from scripts.study.comparisons import Comparisons, Sides
from scripts.study.datasets import find_dataset
from scripts.study.groups import Study
from scripts.study.tables import ITEM_PARTS, interval, is_learned, table, title

_LEVEL: Final = 0.05
_OTHERS: Final = ("plain", "shuffled", "random")


@dataclass(frozen=True, slots=True)
class Finding:
    """What the records of a data set say of text.

    Attributes:
        metric: That was compared.
        tests: ``"lightgcn plain"`` → the text form against that form, one Holm family.
        relative: Model → gain over its plain form, as a share of it.
    """

    metric: str
    tests: Mapping[str, PairedTest]
    relative: Mapping[str, float]

    @property
    def models(self) -> list[str]:
        """Models that were run with text and without."""
        return list(self.relative)

    def better(self, other: str) -> list[str]:
        """Models whose text form is better than another form, beyond chance."""
        return [m for m in self._compared(other) if self._decided(m, other) > 0]

    def worse(self, other: str) -> list[str]:
        """Models whose text form is worse than another form, beyond chance."""
        return [m for m in self._compared(other) if self._decided(m, other) < 0]

    def compared(self, other: str) -> int:
        """How many models were run in both forms."""
        return len(self._compared(other))

    def _compared(self, other: str) -> list[str]:
        return [name.partition(" ")[0] for name in self.tests if name.endswith(f" {other}")]

    def _decided(self, model: str, other: str) -> float:
        test = self.tests[f"{model} {other}"]
        return test.difference if test.holm_p_value < _LEVEL else 0.0


def find(study: Study, comparisons: Comparisons, dataset: str) -> Finding:
    """Compare the text form of every learned model with its other forms."""
    metric = find_dataset(dataset).metrics[1]
    sides: dict[str, Sides] = {}
    relative: dict[str, float] = {}
    for other in _OTHERS:
        for model, ours, theirs in study.paired(dataset, "text", other):
            if is_learned(model):
                sides[f"{model} {other}"] = (ours.records, theirs.records)
                before, after = theirs.mean(metric), ours.mean(metric)
                if other == "plain" and before and after is not None:
                    relative[model] = after / before - 1
    return Finding(metric, comparisons.family(sides, metric), relative)


def answer(study: Study, comparisons: Comparisons, dataset: str) -> Iterator[str]:
    """The answer of one data set, then what it stands on."""
    found = find(study, comparisons, dataset)
    texts = find_dataset(dataset).texts
    if not found.models:
        yield f"**{dataset}** ({texts}): not run.\n"
        return
    yield f"**{dataset}** ({texts}): {verdict(found)} {_figures(found)} {_where(study, dataset)}\n"
    rows = [[f"`{model}`", *(_cell(found, model, other) for other in _OTHERS)] for model in found.models]
    yield from table([f"{title(found.metric)} of text minus", *_OTHERS], rows)


def verdict(found: Finding) -> str:
    """Whether text helps, in a sentence chosen by the tests."""
    total, better, worse = len(found.models), found.better("plain"), found.worse("plain")
    beaten = [m for m in better if all(m in found.better(c) for c in _OTHERS[1:] if found.compared(c))]
    untested = not any(found.compared(control) for control in _OTHERS[1:])
    if not better:
        return f"**no**: it makes none of {total} models better beyond chance.{_harm(worse)}"
    if untested:
        return f"**better with text, controls not run**: {_of(better, total)} gain beyond chance."
    if not beaten:
        return (
            f"**not as text**: {_of(better, total)} gain beyond chance, but none of them gains more than "
            "with shuffled or random vectors."
        )
    if len(beaten) == total:
        return f"**yes**: all {total} models gain beyond chance, and more than with any control."
    return (
        f"**it depends on the model**: {_of(better, total)} gain beyond chance, {len(beaten)} of them also "
        f"more than with any control{_controls(found)}.{_harm(worse)}"
    )


def _figures(found: Finding) -> str:
    gains = np.array(list(found.relative.values()))
    if len(gains) == 1:
        return f"{title(found.metric)} changes by {100 * gains[0]:+.1f} %."
    best = max(found.relative, key=lambda model: found.relative[model])
    return (
        f"{title(found.metric)} changes by {100 * gains.min():+.1f} to {100 * gains.max():+.1f} % "
        f"(median {100 * np.median(gains):+.1f} %, most for `{best}`)."
    )


def _where(study: Study, dataset: str) -> str:
    """On which part of the items text does best and worst, as means over models."""
    metric = find_dataset(dataset).metrics[0]
    gains: dict[str, float] = {}
    for part in ITEM_PARTS:
        changes = [
            ours - theirs
            for model, text, plain in study.paired(dataset, "text", "plain")
            if is_learned(model)
            and (ours := text.stratum("item degree", part, metric)) is not None
            and (theirs := plain.stratum("item degree", part, metric)) is not None
        ]
        if changes:
            gains[part] = float(np.mean(changes))
    if len(gains) < 2:
        return ""
    best, worst = max(gains, key=lambda p: gains[p]), min(gains, key=lambda p: gains[p])
    return (
        f"By training degree of the test item, the change of {title(metric)} is best for {best} "
        f"({gains[best]:+.4f} on average) and worst for {worst} ({gains[worst]:+.4f})."
    )


def _cell(found: Finding, model: str, other: str) -> str:
    test = found.tests.get(f"{model} {other}")
    return "not run" if test is None else f"{interval(test)}{test.mark}"


def _controls(found: Finding) -> str:
    """How many models the controls were run for, where that is not all of them."""
    counts = {found.compared(control) for control in _OTHERS[1:]}
    total = len(found.models)
    return "" if counts == {total} else f" (controls were run for {min(counts)} of {total})"


def _of(names: list[str], total: int) -> str:
    return f"{len(names)} of {total} models"


def _harm(worse: list[str]) -> str:
    return f" Worse beyond chance: {', '.join(f'`{name}`' for name in worse)}." if worse else ""
