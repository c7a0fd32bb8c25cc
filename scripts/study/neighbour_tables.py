"""What items are near to, in docs/results/lghrec.md: what the records of `study.neighbour_records` say."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from scripts.study import neighbour_records
from scripts.study.codebook_kinds import Quantizer
from scripts.study.groups import DAGGER, NOT_RUN, Study
from scripts.study.lghrec import LASTFM
from scripts.study.neighbour_figures import Part, Side
from scripts.study.neighbour_records import NeighbourRecord
from scripts.study.tables import table

ID: Final = "ID vector"
PROPAGATED: Final = "ID vector, propagated"
TEXT: Final = "text"
CODES: Final[Mapping[Quantizer, str]] = {
    "residual_quantizer": "the text's codes, residual k-means",
    "rq_vae": "the text's codes, RQ-VAE",
}
_CHANCE: Final = "any other item"
_INTRODUCTION: Final = """## What items are near to, by ID and by text

{dataset} has one text of each item: the description that a model wrote, with no chain of thought. So its
vector stands here for that of a CoT. No release holds ID vectors: those of a plain LightGCN are compared that
is trained for this, E(0) of its items and what it ranks by after propagation. The codes, 3 levels of 256, are
compared by the vectors that they stand for.

Of each item's {top_k} nearest by cosine, the mean share. *Named by text*: near by the vector of its text too.
*Had together*: one of the item's training users had the neighbour too, which is what ID vectors were trained
on and texts do not know. *Taken before*: one of those who took the item in the validation part had the
neighbour in training, which neither knows; of the items that somebody took there, whose number stands in
brackets. The last column is how many training users a neighbour has on the average: the more, the likelier
anybody had it.
"""


def near_items(study: Study, dataset: str = LASTFM) -> Iterator[str]:
    """The section.

    Args:
        study: ``neighbours`` lies beside the folder of its records.
        dataset: Which.
    """
    records = neighbour_records.read(dataset, study.records.folder.parent / "neighbours")
    yield _INTRODUCTION.format(dataset=dataset, top_k=neighbour_records.TOP_K)
    if not records:
        yield f"`scripts/record_neighbours.py`: {NOT_RUN}.\n"
        return
    is_current = all(neighbour_records.is_current(record, study) for record in records)
    mark = "" if is_current else DAGGER
    left_out = records[0].num_items - sum(part.num_items for part in records[0].parts)
    yield (
        f"{len(records)} training{'s' if len(records) > 1 else ''}{mark}; {left_out:,} of "
        f"{records[0].num_items:,} items are left out, which have no text or no training user.\n"
    )
    rows = [row for place in range(len(records[0].parts)) for row in _rows([r.parts[place] for r in records])]
    columns = ["training users", "items (taken)", "near by", "named by text", "had together", "taken before"]
    yield from table([*columns, "their users"], rows)
    yield from _said([record.parts[0] for record in records])
    yield from _cases(records[0])


def _rows(parts: Sequence[Part]) -> Iterator[list[str]]:
    """One part of the items, by every kind of vectors; a figure per training."""
    first = parts[0]
    users = f"≥ {first.least}" if first.most is None else f"{first.least} to {first.most}"
    items = f"{first.num_items:,} ({first.num_taken:,})"
    for place, side in enumerate(first.sides):
        sides = [part.sides[place] for part in parts]
        overlap = "" if side.kind == TEXT else _spread(sides, lambda s: s.overlap)
        yield [
            users,
            items,
            side.kind,
            overlap,
            _spread(sides, lambda s: s.together),
            _spread(sides, lambda s: s.taken_before),
            _spread(sides, lambda s: s.degree, ".1f"),
        ]
        users = items = ""
    before = first.taken_before_by_chance
    chances = [f"{first.together_by_chance:.4f}", "" if before is None else f"{before:.4f}"]
    yield ["", "", _CHANCE, "", *chances, ""]


def _said(parts: Sequence[Part]) -> Iterator[str]:
    """How much oftener the coldest items' neighbours by text were taken before than those by ID."""
    found: dict[str, float] = {}
    degrees: dict[str, float] = {}
    for kind in (ID, PROPAGATED, TEXT):
        sides = [side for part in parts for side in part.sides if side.kind == kind]
        found[kind] = float(np.mean([np.nan if (t := side.taken_before) is None else t for side in sides]))
        degrees[kind] = float(np.mean([side.degree for side in sides]))
    if all(np.isfinite(value) for value in found.values()):
        times = [found[TEXT] / found[kind] for kind in (ID, PROPAGATED)]
        yield (
            f"Neighbours by text of the coldest items were taken before {times[0]:.2f} times as often as "
            f"those by ID vector, and {times[1]:.2f} times as often as those by the propagated one. They "
            f"also have {degrees[TEXT] / degrees[ID]:.1f} and {degrees[TEXT] / degrees[PROPAGATED]:.1f} "
            "times as many training users, which alone brings an item into more histories; no test was "
            "made.\n"
        )


def _spread(sides: Sequence[Side], value: Callable[[Side], float | None], form: str = ".4f") -> str:
    """Mean ± standard deviation over trainings; no deviation of what no training changes."""
    values = [found for side in sides if (found := value(side)) is not None]
    if not values:
        return ""
    deviation = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):{form}}" + (f" ± {deviation:{form}}" if deviation > 1e-12 else "")


def _cases(record: NeighbourRecord) -> Iterator[str]:
    """Some cold items by their ids; those that were had together are bold."""
    if not record.cases:
        return
    least, most = record.parts[0].least, record.parts[0].most
    yield (
        f"Items of {least} to {most} training users, drawn with a seed, by their ids in the data set, and "
        f"LightGCN's seed {record.seed}: the nearest first, those had together in bold.\n"
    )
    rows: list[list[str]] = []
    for case in record.cases:
        told = [f"**{name}**" if name in case.together else name for name in case.near[ID]]
        texts = [f"**{name}**" if name in case.together else name for name in case.near[TEXT]]
        rows.append([case.item, f"{case.degree}", ", ".join(told), ", ".join(texts)])
    yield from table(["item", "training users", "near by ID vector", "near by text"], rows)
