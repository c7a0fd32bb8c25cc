"""What HGPO's policies learned, from records that say it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from recommender.hgpo.reading import ChoiceReading, PolicyReading, TemperatureReading
from scripts.study.groups import Study
from scripts.study.lghrec import LEARNING, MODEL
from scripts.study.lghrec_reading import words
from scripts.study.lghrec_targets import OURS
from scripts.study.runs import Record
from scripts.study.tables import table

EVEN: Final = 0.99
"""Share of the largest entropy above which a choice counts as uniform."""
_MARGIN: Final = 0.01
"""Difference of mean rewards below which neither counts as more; no test is made."""


def learned(study: Study, dataset: str) -> Iterator[str]:
    """A table of the groups, means over current seeds, and what it says; nothing without a reading."""
    records = [record for record in study.group(dataset, *OURS).current.records if record.policy]
    if not records:
        return
    yield "### What the policies learned, on LightGCN\n"
    yield (
        f"Of {len(records)} seed{'s'[: len(records) > 1]}, after training, in 20 batches. τ ± its standard "
        "deviation over actions; a new policy draws it around the setting `temperature`. R_τ is beside that "
        "of this setting as a constant, R_neg and cosines beside those of uniform negatives of the same "
        "pools; *evenness* is the entropy of the first choice as a share of a uniform one's.\n"
    )
    parts = _parts(records)
    of_choices = ["R_neg (uniform)", "cosine (uniform)", "evenness"]
    heads = ["degree", "τ ± sd", "T_ideal", "R_τ (constant)", *of_choices]
    rows = [[f"{side} {group}", *_cells(found)] for (side, group), found in parts.items()]
    yield from table(heads, rows)
    yield f"{_said(records)}\n"
    for variant in LEARNING:
        tried = study.group(dataset, MODEL, f"text-{variant}").current.records
        if tried and tried[0].policy:
            yield f"*{words(variant)}*: {_said(tried)}\n"


def _parts(records: Sequence[Record]) -> Mapping[tuple[str, str], list[PolicyReading]]:
    """(side, group) → its reading in every record that has one."""
    found: dict[tuple[str, str], list[PolicyReading]] = {}
    for record in records:
        for reading in record.policy:
            found.setdefault((reading.side, reading.group), []).append(reading)
    return found


def _cells(readings: Sequence[PolicyReading]) -> list[str]:
    temperatures = [each.temperature for each in readings if each.temperature is not None]
    choices = [each.choice for each in readings if each.choice is not None]
    return [*(_of_temperatures(temperatures)), *(_of_choices(choices))]


def _of_temperatures(found: Sequence[TemperatureReading]) -> list[str]:
    if not found:
        return [""] * 3
    return [
        f"{_mean(t.mean for t in found):.3f} ± {_mean(t.deviation for t in found):.3f}",
        f"{_mean(t.ideal for t in found):.3f}",
        f"{_mean(t.reward for t in found):+.3f} ({_mean(t.constant_reward for t in found):+.3f})",
    ]


def _of_choices(found: Sequence[ChoiceReading]) -> list[str]:
    if not found:
        return [""] * 3
    return [
        f"{_mean(c.reward for c in found):+.3f} ({_mean(c.uniform_reward for c in found):+.3f})",
        f"{_mean(c.cosine for c in found):+.3f} ({_mean(c.uniform_cosine for c in found):+.3f})",
        f"{_mean(c.evenness for c in found):.3f}",
    ]


def _said(records: Sequence[Record]) -> str:
    """What the figures say of both heads, over all actions."""
    readings = [reading for record in records for reading in record.policy]
    weights = [reading.num_actions for reading in readings]
    temperatures = [reading.temperature for reading in readings]
    choices = [reading.choice for reading in readings]
    said: list[str] = []
    if all(t is not None for t in temperatures):
        reward = _mean((t.reward for t in temperatures if t), weights)
        constant = _mean((t.constant_reward for t in temperatures if t), weights)
        said.append(
            f"Temperatures earn {_beside(reward, constant)} the constant: R_τ {reward:+.3f}, {constant:+.3f}."
        )
    if all(c is not None for c in choices):
        even = _mean((c.evenness for c in choices if c), weights)
        reward = _mean((c.reward for c in choices if c), weights)
        uniform = _mean((c.uniform_reward for c in choices if c), weights)
        state = "is all but uniform" if even > EVEN else "is not uniform"
        said.append(
            f"The choice of negatives {state} (evenness {even:.3f}) and earns {_beside(reward, uniform)} "
            f"uniform ones: R_neg {reward:+.3f}, {uniform:+.3f}."
        )
    updates = _mean(reading.updates for reading in readings)
    return f"{' '.join(said)} A policy had taken {updates:,.0f} steps at the epoch that was kept."


def _beside(ours: float, theirs: float) -> str:
    if abs(ours - theirs) < _MARGIN:
        return "about as much as"
    return "more than" if ours > theirs else "less than"


def _mean(values: Iterator[float], weights: Sequence[float] | None = None) -> float:
    return float(np.average(list(values), weights=weights))
