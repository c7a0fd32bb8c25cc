"""Which model to begin with: what was best by validation on data that are like somebody's, and by how much.

No sentence of it is a verdict: names and figures come from the records, so another record changes them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from recommender.evaluation.significance import PairedTest
from scripts.study.core import AMAZON, GOWALLA, LASTFM
from scripts.study.datasets import DATASETS, find_dataset
from scripts.study.groups import NOT_RUN
from scripts.study.kinds import COUNTS, GRAPH, GRAPH_TEXT, HISTORY, HISTORY_TEXT, TEXT_ALONE, Chosen
from scripts.study.tables import table, title

RARE: Final = ("item degree", "1-9")
"""The part of the test whose items few users had in training."""
_AGENT: Final = "agent4rec-ml1m"
_SESSIONS: Final = ("ml-100k", "session-diginetica-slice")
_HEAD: Final = """## Which model when

Of what reads what you have, the best by validation on each data set that is like yours, and what its {metric}
on the test part is more than that of the best that trains nothing; `*` p < 0.05, `**` p < 0.01, paired
bootstrap over users, Holm-corrected over a data set. No mark: no difference beyond chance, so begin with what
trains nothing.
"""
_TAIL: Final = """Whether texts pay is a property of a data set: measure plain, text, shuffled and random on
yours (`featurestore train --features-control`, `featurestore leaderboard`).
"""

_READ_ON_RARE: Final = "many items that few users had: what the best by validation reach on them in the test"

Best = Mapping[str, Chosen]
Tests = Mapping[str, PairedTest]


@dataclass(frozen=True, slots=True)
class Situation:
    """What somebody has.

    Attributes:
        has: In words.
        datasets: That are like it.
        kinds: What reads no more than that.
    """

    has: str
    datasets: tuple[str, ...]
    kinds: tuple[str, ...]


SITUATIONS: Final = (
    Situation("nothing to train with, or a yardstick to set", tuple(DATASETS), (COUNTS,)),
    Situation("interactions, 20 or more per user", (LASTFM, _AGENT, GOWALLA), (COUNTS, GRAPH)),
    Situation("interactions, fewer than 10 per user", AMAZON, (COUNTS, GRAPH)),
    Situation(
        "texts of items, 20 or more interactions per user",
        (LASTFM, _AGENT),
        (COUNTS, TEXT_ALONE, GRAPH, GRAPH_TEXT),
    ),
    Situation("the order of events", AMAZON, (COUNTS, GRAPH, HISTORY)),
    Situation(
        "the order of events, and texts of items",
        AMAZON,
        (COUNTS, TEXT_ALONE, GRAPH, GRAPH_TEXT, HISTORY, HISTORY_TEXT),
    ),
    Situation("sessions", _SESSIONS, (COUNTS, HISTORY)),
)


def when(best: Mapping[str, Best], tests: Mapping[str, Tests]) -> Iterator[str]:
    """The table of situations.

    Args:
        best: Data set → kind → its best by validation.
        tests: Data set → kind → its test against what trains nothing.
    """
    yield _HEAD.format(metric="NDCG")
    rows: list[list[str]] = []
    for situation in SITUATIONS:
        cells: list[str] = []
        for dataset in situation.datasets:
            found = {kind: best[dataset][kind] for kind in situation.kinds if kind in best[dataset]}
            cells.append(f"{dataset}: {_first(dataset, found, tests[dataset])}")
        rows.append([situation.has, "<br>".join(cells)])
    rows.append([_READ_ON_RARE, "<br>".join(_rare(best)) or NOT_RUN])
    yield from table(["you have", "begin with"], rows)
    yield _TAIL


def _first(dataset: str, found: Best, tests: Tests) -> str:
    if not found:
        return NOT_RUN
    metric = find_dataset(dataset).metrics[1]
    kind = max(found, key=lambda each: found[each].validation(metric))
    test = tests.get(kind)
    return found[kind].name + (f" ({test.difference:+.4f}{test.mark})" if test else "")


def _rare(best: Mapping[str, Best]) -> Iterator[str]:
    """On each data set what the chosen reach on items that few users had."""
    for dataset, found in best.items():
        metric = find_dataset(dataset).metrics[0]
        values = [
            f"{each.name} {value:.4f}"
            for each in found.values()
            if (value := each.group.stratum(*RARE, metric)) is not None
        ]
        if len(found) > 1 and values:
            listed = ", ".join(values)
            yield f"{dataset}, {title(metric)} of items that 1 to 9 users had: {listed}"
