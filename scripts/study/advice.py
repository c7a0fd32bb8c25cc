"""Which model to begin with: what was best by validation on data that are like somebody's, and by how much.

No sentence of it is a verdict: names and figures come from the records, so another record changes them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from scripts.study.core import AMAZON, GOWALLA, LASTFM
from scripts.study.datasets import DATASETS, find_dataset
from scripts.study.groups import NOT_RUN
from scripts.study.kinds import (
    COUNTED,
    COUNTED_ORDER,
    GRAPH,
    GRAPH_TEXT,
    HISTORY,
    HISTORY_TEXT,
    TEXT_ALONE,
    TRAINED,
    Against,
    Chosen,
)
from scripts.study.tables import stopped, table, title

RARE: Final = ("item degree", "1-9")
"""The part of the test whose items few users had in training."""
_AGENT: Final = "agent4rec-ml1m"
_SESSIONS: Final = ("ml-100k", "session-diginetica-slice")
_HEAD: Final = """## Which model when

Of what reads no more than you have, the best by validation on each data set that is like yours. In brackets:
what its NDCG on the test part is more, or less, than that of the best that only counts and reads no more than
it. Where what counts is itself the best, the best trained one is named with its difference, or that nothing
trained was run. *The only one run*: of its kind, on that data set. `*` p < 0.05, `**` p < 0.01, paired
bootstrap over users, Holm-corrected over a data set; no mark: no difference beyond chance.
"""
_TAIL: Final = """Whether texts pay is a property of a data set: measure plain, text, shuffled and random on
yours (`featurestore train --features-control`, `featurestore leaderboard`).
"""

_READ_ON_RARE: Final = "many items that 1 to 9 users had: what the best of each kind reach on them"

Best = Mapping[str, Chosen]
Tests = Mapping[str, Against]


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


_PAIRS: Final = (COUNTED, GRAPH)
_ORDER: Final = (COUNTED, COUNTED_ORDER, GRAPH, HISTORY)
SITUATIONS: Final = (
    Situation("interactions, and nothing to train with; or a yardstick to set", tuple(DATASETS), (COUNTED,)),
    Situation(
        "the order of events, and nothing to train with; or a yardstick to set",
        (*AMAZON, *_SESSIONS),
        (COUNTED, COUNTED_ORDER),
    ),
    Situation("interactions, 20 or more per user", (LASTFM, _AGENT, GOWALLA), _PAIRS),
    Situation("interactions, fewer than 10 per user", AMAZON, _PAIRS),
    Situation(
        "texts of items, 20 or more interactions per user",
        (LASTFM, _AGENT),
        (*_PAIRS, TEXT_ALONE, GRAPH_TEXT),
    ),
    Situation("the order of events", AMAZON, _ORDER),
    Situation(
        "the order of events, and texts of items", AMAZON, (*_ORDER, TEXT_ALONE, GRAPH_TEXT, HISTORY_TEXT)
    ),
    Situation("sessions", _SESSIONS, (COUNTED, COUNTED_ORDER, HISTORY)),
)


def when(best: Mapping[str, Best], tests: Mapping[str, Tests]) -> Iterator[str]:
    """The table of situations.

    Args:
        best: Data set → kind → its best by validation.
        tests: Data set → kind → its test against what only counts.
    """
    yield _HEAD
    rows: list[list[str]] = []
    for situation in SITUATIONS:
        cells: list[str] = []
        for dataset in situation.datasets:
            found = {kind: best[dataset][kind] for kind in situation.kinds if kind in best[dataset]}
            is_trained = any(kind in TRAINED for kind in situation.kinds)
            cells.append(f"{dataset}: {_first(dataset, found, tests[dataset], is_trained=is_trained)}")
        rows.append([situation.has, "<br>".join(cells)])
    rows.append([_READ_ON_RARE, "<br>".join(_rare(best)) or NOT_RUN])
    yield from table(["you have", "begin with"], rows)
    yield _TAIL


def _first(dataset: str, found: Best, tests: Tests, *, is_trained: bool) -> str:
    """The best by validation, and in brackets what is to be known of it.

    Args:
        dataset: Data set.
        found: Kind → its best, of what a situation has.
        tests: Kind → its test.
        is_trained: Whether anything trained reads no more than a situation has.
    """
    if not found:
        return NOT_RUN
    kind = _best(dataset, found)
    facts = [stopped(found[kind].group.records)]
    if kind not in {COUNTED, COUNTED_ORDER}:
        facts.insert(0, _against(tests.get(kind)))
    elif is_trained:
        trained = {each: found[each] for each in TRAINED if each in found}
        facts.append(_best_trained(dataset, trained, tests) if trained else "nothing trained was run")
    words = "; ".join(filter(None, facts))
    return found[kind].told + (f" ({words})" if words else "")


def _best_trained(dataset: str, trained: Best, tests: Tests) -> str:
    kind = _best(dataset, trained)
    facts = (_against(tests.get(kind)), stopped(trained[kind].group.records))
    return f"the best trained, {trained[kind].told}: {'; '.join(filter(None, facts))}"


def _best(dataset: str, found: Best) -> str:
    """The kind whose best has most by validation."""
    metric = find_dataset(dataset).metrics[1]
    return max(found, key=lambda kind: found[kind].validation(metric))


def _against(found: Against | None) -> str:
    """A difference with its mark, and the control that it is to."""
    if found is None:
        return "nothing that only counts was run"
    return f"{found.test.difference:+.4f}{found.test.mark} against {found.control.told}"


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
            yield f"{dataset}, {title(metric)}: {listed}"
