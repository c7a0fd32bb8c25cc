"""Gates of texts: who has one, who lost one, and whether they say something."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import polars as pl

from featurestore import columns as c
from featurestore.answer_phrases import REFUSAL, THOUGHT
from featurestore.gate_result import GateResult
from featurestore.gates.draft import Draft
from featurestore.gates.policy import GatePolicy
from featurestore.gates.rules import judged
from featurestore.gates.strata import DEGREE, entity_degrees
from featurestore.release import TablePin
from featurestore.spec import AnySpec, Entity, PlainTextSpec

_REFUSED = "refusal"
"""Reason of a failed row whose answer declined, see `llm_jobs.text_checks`."""
_REASONING_TAG = r"</?think(?:ing)?>"
_COVERED = "covered"
_OK = pl.col(c.STATUS) == c.STATUS_OK


Degrees: TypeAlias = Callable[[Entity], pl.DataFrame]
"""Every entity with its degree, see `featurestore.gates.strata.entity_degrees`."""


def text_gates(draft: Draft, spec: AnySpec, policy: GatePolicy, degrees: Degrees) -> list[GateResult]:
    """The gates of one text feature that has rows. What the parent pins unchanged is not read again."""
    return [
        *_wording(draft, spec, policy),
        *_coverage(draft, spec, policy, degrees),
        *_lost(draft, spec, policy),
    ]


def degrees_of(draft: Draft, entity: Entity) -> pl.DataFrame:
    """Every entity of a draft that has this source table, with its degree in training events."""
    entities, events = draft.entities(entity), draft.source("interactions")
    assert entities is not None
    return entity_degrees(
        draft.store,
        entity,
        entities_version=draft.facts(entities).version,
        interactions_version=draft.facts(events).version if events else None,
    )


def _wording(draft: Draft, spec: AnySpec, policy: GatePolicy) -> list[GateResult]:
    """Empty texts; refusals and thoughts too where the words are not the entity's own."""
    limits = {("empty_texts", ""): 0.0}
    if not isinstance(spec, PlainTextSpec):
        limits |= {
            ("refusal_rate", ""): policy.max_refusal_rate,
            ("think_leaks", ""): policy.max_think_leaks,
        }
    if draft.is_unchanged(spec) and (known := draft.carried(spec, limits)) is not None:
        return known
    rows = draft.rows(spec, [c.ID, c.STATUS, c.TEXT, c.REASON])
    text = pl.col(c.TEXT).fill_null("")
    lower = text.str.to_lowercase()
    found = {
        "empty_texts": _OK & (text.str.strip_chars() == ""),
        "refusal_rate": pl.when(_OK).then(lower.str.contains(REFUSAL.pattern)).otherwise(_is_refused()),
        "think_leaks": _OK & lower.str.contains(f"{THOUGHT.pattern}|{_REASONING_TAG}"),
    }
    num_good = max(rows.filter(_OK).height, 1)
    units = {"empty_texts": 1, "refusal_rate": max(rows.height, 1), "think_leaks": num_good}
    results: list[GateResult] = []
    for (gate, _), limit in limits.items():
        hits = rows.filter(found[gate])[c.ID]
        results.append(judged(spec, gate, len(hits) / units[gate], limit, rows=hits.sort().to_list))
    return results


def _is_refused() -> pl.Expr:
    return pl.col(c.REASON).fill_null("") == _REFUSED


def _coverage(draft: Draft, spec: AnySpec, policy: GatePolicy, degrees: Degrees) -> list[GateResult]:
    """Share of entities with a good text: of all, and of each stratum."""
    entities = draft.entities(spec.entity) if spec.entity else None
    if spec.entity is None or entities is None:
        return []
    limits = {("coverage", ""): policy.min_coverage}
    limits |= {("coverage", stratum.label): stratum.min_coverage for stratum in policy.strata}
    sources = [spec, entities, *filter(None, [draft.source("interactions")])]
    if all(draft.is_unchanged(each) for each in sources) and (known := draft.carried(spec, limits)):
        return known
    good = draft.rows(spec, [c.ID, c.STATUS]).filter(_OK)
    covered = degrees(spec.entity).with_columns(pl.col(c.ID).is_in(good[c.ID].implode()).alias(_COVERED))
    parts = {"": covered} | {stratum.label: covered.filter(stratum.holds()) for stratum in policy.strata}
    return [
        judged(
            spec,
            "coverage",
            part.filter(_COVERED).height / part.height if part.height else 1.0,
            limits["coverage", label],
            rows=partial(_uncovered, part),
            stratum=label,
            note=f"{part.height:,} entities" if label else "",
        )
        for label, part in parts.items()
    ]


def _uncovered(part: pl.DataFrame) -> list[str]:
    """Entities without a text, those that most events speak of first."""
    missing = part.filter(~pl.col(_COVERED)).sort(DEGREE, c.ID, descending=[True, False])
    return missing[c.ID].to_list()


def _lost(draft: Draft, spec: AnySpec, policy: GatePolicy) -> list[GateResult]:
    """Share of the entities with a good text in the parent, and still there, that have none now."""
    pin = draft.before(spec)
    if pin is None:
        return []
    if draft.is_unchanged(spec):
        enough = pin.num_rows - pin.num_failed >= policy.min_compared
        return [judged(spec, "lost_texts", 0.0, policy.max_lost_texts)] if enough else []
    had = _good_before(draft, spec, pin)
    if had.height < policy.min_compared:
        return []
    has = draft.rows(spec, [c.ID, c.STATUS]).filter(_OK)
    lost = had.join(has, on=c.ID, how="anti")[c.ID]
    value = len(lost) / had.height
    return [judged(spec, "lost_texts", value, policy.max_lost_texts, rows=lost.sort().to_list)]


def _good_before(draft: Draft, spec: AnySpec, pin: TablePin) -> pl.DataFrame:
    """Ids with a good text in the parent, without those that are no entities any more."""
    good = draft.rows_before(pin, [c.ID, c.STATUS]).filter(_OK).select(c.ID)
    entities = draft.entities(spec.entity) if spec.entity else None
    if spec.entity is None or entities is None:
        return good
    key = c.ITEM_ID if spec.entity == "item" else c.USER_ID
    return good.join(draft.rows(entities, [key]), left_on=c.ID, right_on=key, how="semi")
