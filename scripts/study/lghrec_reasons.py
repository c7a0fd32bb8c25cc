"""Why we think that LGHRec's targets are missed, as far as the records show it."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from scripts.study.beside import Row, Sources
from scripts.study.lghrec import LASTFM, MODEL
from scripts.study.lghrec_policy import EVEN
from scripts.study.lghrec_targets import BOTH, JUDGED, OURS, RARE, gains
from scripts.study.row_tables import is_less, is_more, marked, minus_each
from scripts.study.tables import title

_UNIFORM: Final[Row] = (MODEL, "text-uniform-negatives")
_IDEAL: Final[Row] = (MODEL, "text-ideal-temperature")
_CONTRASTS: Final = frozenset({"xsimgcl", "sgl", "simgcl", "ncl", "lightgcl"})
"""Backbones whose own loss has a contrast over propagated vectors."""


def reasons(sources: Sources) -> Iterator[str]:
    """One line per reason that the records show; nothing without any."""
    found = [*_unlearned(sources), *_trivial(sources), *_overruled(sources)]
    if not found:
        return
    yield "### What we think is the reason where a target is missed\n"
    yield from found
    yield (
        "* The paper's data sets, backbones and tables are in no source that we have; its texts are chains "
        "of thought of a tuned model, ours descriptions by models that were not tuned.\n"
    )


def _unlearned(sources: Sources) -> Iterator[str]:
    """Policies that are still what they began as."""
    records = [record for record in sources.study.group(LASTFM, *OURS).current.records if record.policy]
    choices = [r.choice for record in records for r in record.policy if r.choice is not None]
    weights = [r.num_actions for record in records for r in record.policy if r.choice is not None]
    if not choices:
        return
    even = float(np.average([choice.evenness for choice in choices], weights=weights))
    if even <= EVEN:
        return
    steps = float(np.mean([reading.updates for record in records for reading in record.policy]))
    rate = float(records[0].config.get("policy_learning_rate", 0))
    entropy = float(records[0].config.get("entropy_weight", 0))
    tests = minus_each(sources, LASTFM, OURS, [_UNIFORM], JUDGED)
    beside = f" ({marked(tests[_UNIFORM])} beside *uniform negatives*)" if _UNIFORM in tests else ""
    yield (
        f"* The policy hardly learns at the released code's settings: {steps:,.0f} steps of size {rate:g} at "
        f"an entropy weight of {entropy:g} leave its first choice at {even:.3f} of the largest entropy, so "
        f"that its negatives are uniform ones{beside}. *policy rate …* are policies that may learn more."
    )


def _trivial(sources: Sources) -> Iterator[str]:
    """The optimum of the temperature's reward needs no policy."""
    tests = minus_each(sources, LASTFM, OURS, [_IDEAL], JUDGED, part=RARE)
    if _IDEAL in tests and not is_more(tests[_IDEAL]):
        yield (
            "* The reward of a temperature has its optimum at T_ideal(degree), which needs no policy, and "
            f"the policy adds noise to it: {marked(tests[_IDEAL])} in {title(JUDGED)} of items of degree < "
            f"{RARE.most + 1} beside *ideal temperature*."
        )


def _overruled(sources: Sources) -> Iterator[str]:
    """Backbones that the contrast makes worse."""
    tests = gains(sources, LASTFM)
    worse = [backbone for (backbone, form), test in tests.items() if form == BOTH and is_less(test)]
    if not worse:
        return
    named = _named(worse)
    own = [backbone for backbone in worse if backbone not in _CONTRASTS]
    tail = (
        "None of them has a contrast over propagated vectors of its own"
        if len(own) == len(worse)
        else f"Of them {_named(own) or 'none'} has no contrast over propagated vectors of its own"
    )
    yield (
        f"* HGPO's contrast makes {named} worse. {tail}: the added one is over LightGCN's views whatever the "
        "backbone scores by, and at λ_cl = 0.1 it leads, because their own loss is small."
    )


def _named(backbones: Sequence[str]) -> str:
    return ", ".join(f"`{backbone}`" for backbone in backbones)
