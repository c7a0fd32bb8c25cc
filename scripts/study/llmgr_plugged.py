"""Bases with and without LLMGR side by side, and what the records say of its claims.

The paper plugs into three bases and claims more in HR, NDCG and MRR at 20, more of it on cold items, and a
loss without the auxiliary stage. Bases here are six, LLMGR is what of it is served without a language model.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from recommender.evaluation.significance import PairedTest
from scripts.study.beside import Row, Sources, verdict
from scripts.study.comparisons import Sides
from scripts.study.groups import NOT_RUN, Group, same_seeds
from scripts.study.item_parts import ItemPart
from scripts.study.llmgr import BASES, CONTROLS, MODEL, OTHERS
from scripts.study.llmgr_tunings import TUNINGS, TuningRecord, read_tuning
from scripts.study.row_tables import Tests, is_more, marked, minus_each
from scripts.study.tables import table, title

METRICS: Final = ("hr@20", "ndcg@20", "mrr@20")
JUDGED: Final = "ndcg@20"
ALL_BASES: Final = (*BASES, *OTHERS)
TUNED: Final[Row] = (MODEL, "tuned")
FROZEN: Final[Row] = (MODEL, "text")
CONTROL_ROWS: Final[tuple[Row, ...]] = (
    FROZEN,
    *((MODEL, f"tuned-{variant}") for variant in ("vectors-alone", "lists-alone", *CONTROLS)),
)
"""LLMGR on GC-SAN with something left out of what a tuned decoder gave."""
COLD: Final = ItemPart(5, 10)
WARM: Final = ItemPart(50)
_CLAIMED: Final = 4
Plug: TypeAlias = Literal["tuned", "text"]
_WORDS: Final[dict[Plug, str]] = {"tuned": "+ LLMGR", "text": "+ frozen vectors"}


@dataclass(frozen=True)
class Plugged:
    """LLMGR's small model on the bases of a data set; all but `declared` is of current records.

    Attributes:
        sources: See `Sources`.
        dataset: Which.
        form: ``tuned``: vectors and lists of the tuned decoder. ``text``: vectors of a frozen encoder.
    """

    sources: Sources
    dataset: str
    form: Plug

    def declared(self, base: str) -> Group:
        """Runs on a base; seeds."""
        label = self.form if base == BASES[0] else f"{self.form}-on-{base}"
        return self.sources.study.group(self.dataset, MODEL, label)

    def sides(self, base: str) -> tuple[Group, Group]:
        """Runs on a base, and of the base alone, of the seeds that both have."""
        return same_seeds(self.declared(base), self.sources.study.group(self.dataset, base))

    def were_run(self) -> list[str]:
        """Bases that have records of both."""
        return [base for base in ALL_BASES if self.sides(base)[0].records]

    def tests(self) -> dict[str, PairedTest]:
        """Base → what is added in the judged metric, Holm-corrected over the bases."""
        sides: dict[str, Sides] = {}
        for base in self.were_run():
            ours, theirs = self.sides(base)
            sides[base] = ours.records, theirs.records
        return self.sources.comparisons.family(sides, JUDGED)

    def better(self) -> list[str]:
        """Bases that have more in all three metrics."""
        return [base for base in self.were_run() if all(self._gain(base, m) > 0 for m in METRICS)]

    def part(self, base: str, part: ItemPart) -> tuple[float, float] | None:
        """The judged metric of the base and of both together, on a part of the items."""
        metrics = self.sources.metrics
        ours, theirs = (metrics.item_part(group, part.inside, JUDGED) for group in self.sides(base))
        return None if ours is None or theirs is None else (theirs, ours)

    def _gain(self, base: str, metric: str) -> float:
        ours, theirs = (group.mean(metric) for group in self.sides(base))
        return (ours or 0.0) - (theirs or 0.0)


def questions(sources: Sources, dataset: str) -> Iterator[str]:
    """The claims, each with what the records say."""
    ours, frozen = (Plugged(sources, dataset, form) for form in _WORDS)
    controls = control_tests(sources, dataset)
    rows = [
        _on_most(ours, "more than the base in HR@20, NDCG@20 and MRR@20 on at least 4 of 6 bases"),
        _on_most(frozen, "the same by frozen vectors alone, without a tuned decoder"),
        _beyond(controls, "more than frozen vectors, beyond chance", FROZEN),
        _on_cold(ours),
        _beyond(
            controls, "more than without the auxiliary stage, beyond chance", (MODEL, "tuned-no-alignment")
        ),
        _beyond(
            controls,
            "more than with an alignment learned on titles of other items, beyond chance",
            (MODEL, "tuned-shuffled-texts"),
        ),
    ]
    yield from table([f"`{MODEL}` with a tuned decoder has, on {dataset}", "ours", ""], rows)


def plugged_table(sources: Sources, dataset: str) -> Iterator[str]:
    """Every base alone, with LLMGR, and with frozen vectors."""
    sides: dict[Plug, Plugged] = {form: Plugged(sources, dataset, form) for form in _WORDS}
    tests = {form: side.tests() for form, side in sides.items()}
    rows: list[list[str]] = []
    for base in ALL_BASES:
        alone = sources.study.group(dataset, base, "plain")
        rows.append([f"`{base}`", *(sources.metrics.cell(alone, metric) for metric in METRICS), ""])
        for form, side in sides.items():
            test = tests[form].get(base)
            cells = (sources.metrics.cell(side.declared(base), metric) for metric in METRICS)
            rows.append([_WORDS[form], *cells, marked(test) if test else ""])
    yield from table(["base", *map(title, METRICS), f"{title(JUDGED)}: minus the base"], rows)


def parts_table(sources: Sources, dataset: str) -> Iterator[str]:
    """What is added on cold and on warm items."""
    side = Plugged(sources, dataset, "tuned")
    rows = [
        [f"`{base}`", _change(side.part(base, COLD)), _change(side.part(base, WARM))]
        for base in side.were_run()
    ]
    yield from table([f"{title(JUDGED)}, + LLMGR", "items of 5 to 10 users", "items of 50 and more"], rows)


def tunings_table(sources: Sources) -> Iterator[str]:
    """What decoders were tuned, on how much."""
    folder = sources.study.records.folder.parent / "llmgr"
    rows = [[f"`{t.name}`", t.why, *_told(read_tuning(t.name, folder))] for t in TUNINGS]
    columns = [
        "tuning",
        "what it is",
        "decoder",
        "learned from",
        "loss",
        "sessions taught",
        "newest click in list",
    ]
    yield from table(columns, rows)


def control_tests(sources: Sources, dataset: str) -> Tests:
    """LLMGR on GC-SAN minus itself with something left out: the family of a table, and of the questions."""
    return minus_each(sources, dataset, TUNED, CONTROL_ROWS, JUDGED)


def _told(record: TuningRecord | None) -> list[str]:
    if record is None:
        return [NOT_RUN, "", "", "", ""]
    learned = "; ".join(f"{s.stage} {s.num_examples:,}" for s in record.stages)
    losses = "; ".join(f"{s.first_loss:.2f} to {s.last_loss:.2f}" for s in record.stages)
    return [
        record.decoder,
        learned,
        losses,
        f"{record.num_taught:,}",
        f"{record.hit_rate:.1%} of {record.top_k}",
    ]


def _on_most(side: Plugged, claim: str) -> list[str]:
    run, better = side.were_run(), side.better()
    if len(run) < len(ALL_BASES):
        return [claim, f"{len(better)} of {len(run)} that were run" if run else NOT_RUN, NOT_RUN]
    return [claim, f"{len(better)} of {len(run)}", verdict(is_reached=len(better) >= _CLAIMED)]


def _on_cold(side: Plugged) -> list[str]:
    """A gain on cold items that is larger, as a share of what the base has; losses are no gains."""
    claim = "larger gains on items of 5 to 10 users than on those of 50 and more, on most bases"
    gains: list[tuple[float, float]] = []
    for base in side.were_run():
        cold, warm = (_relative(side.part(base, part)) for part in (COLD, WARM))
        if cold is not None and warm is not None:
            gains.append((cold, warm))
    if not gains:
        return [claim, NOT_RUN, NOT_RUN]
    larger = sum(cold > max(warm, 0.0) for cold, warm in gains)
    medians = np.median(np.array(gains), axis=0)
    said = f"{larger} of {len(gains)} (medians {medians[0]:+.1%} and {medians[1]:+.1%})"
    is_whole = len(side.were_run()) == len(ALL_BASES)
    return [claim, said, verdict(is_reached=2 * larger > len(ALL_BASES)) if is_whole else NOT_RUN]


def _beyond(controls: Tests, claim: str, row: Row) -> list[str]:
    """LLMGR on GC-SAN against itself with something left out."""
    test = controls.get(row)
    if test is None:
        return [claim, NOT_RUN, NOT_RUN]
    return [claim, marked(test), verdict(is_reached=is_more(test))]


def _change(pair: tuple[float, float] | None) -> str:
    if pair is None:
        return ""
    share = _relative(pair)
    return f"{pair[0]:.4f} to {pair[1]:.4f}{'' if share is None else f' ({share:+.1%})'}"


def _relative(pair: tuple[float, float] | None) -> float | None:
    """The second as a share more than the first; None if one was not run, or the first has nothing."""
    return pair[1] / pair[0] - 1 if pair is not None and pair[0] else None
