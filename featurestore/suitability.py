"""Suitability: is this data worth the cost of a language model? Measured after every ingest."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from featurestore import columns as c

COLD_BELOW = 5
"""Items with fewer training events than this count as cold."""
CHARS_PER_TOKEN = 4.0
"""English text, common tokenizers."""
CHAIN_STAGES = 3
CHAIN_OVERHEAD_TOKENS = 350
"""System prompt, questions and schemas of one item's three-stage chain."""
STAGE_OUTPUT_TOKENS = 160
"""A description of one stage, without reasoning."""
PROMPT_FIELDS = (c.TITLE, c.BRAND, c.CATEGORIES, c.DESCRIPTION)
"""Item fields that `item_cot` reads."""

_SHORT_CHARS = 20
_QUANTILES = {"min": 0.0, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}


@dataclass(frozen=True, slots=True)
class FieldReport:
    """One text field of an entity. Lengths are characters of the rows that have it."""

    entity: str
    field: str
    coverage: float
    mean_chars: float
    median_chars: float
    p95_chars: float
    max_chars: int
    duplicate_share: float
    """Share of texts that repeat an earlier row's."""


@dataclass(frozen=True, slots=True)
class SuitabilityReport:
    """What the data offers to text features.

    Attributes:
        num_items: Items in the store.
        num_users: Users in the store.
        num_interactions: Events of all parts.
        density: Events per (user, item) pair.
        user_degrees: Quantiles of events per user, all parts.
        item_degrees: Quantiles of events per item, all parts.
        cold_share: Share of items with fewer than `COLD_BELOW` training events.
        held_out_items: Items that occur in validation or test only.
        fields: Text fields of items and users.
        item_cot_tokens: Estimated tokens, prompt and output, of `item_cot` over all items with text.
        verdict: One sentence, with its reasons.
    """

    num_items: int
    num_users: int
    num_interactions: int
    density: float
    user_degrees: dict[str, float]
    item_degrees: dict[str, float]
    cold_share: float
    held_out_items: int
    fields: tuple[FieldReport, ...]
    item_cot_tokens: int
    verdict: str
    reasons: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def assess(items: pl.DataFrame, users: pl.DataFrame, events: pl.DataFrame | None) -> SuitabilityReport:
    """Measure ingested data.

    Args:
        items: Rows of ``source.items``.
        users: Rows of ``source.users``.
        events: Rows of ``source.interactions``; None if the store has none.
    """
    fields = (*_fields("item", items, c.ITEM_ID), *_fields("user", users, c.USER_ID))
    num_events = events.height if events is not None else 0
    pairs = items.height * users.height
    cold_share, held_out = _cold(items, events)
    chars = _prompt_chars(items)
    verdict, reasons = _verdict(items, chars, cold_share if num_events else None)
    return SuitabilityReport(
        num_items=items.height,
        num_users=users.height,
        num_interactions=num_events,
        density=num_events / pairs if pairs else 0.0,
        user_degrees=_degrees(events, c.USER_ID),
        item_degrees=_degrees(events, c.ITEM_ID),
        cold_share=cold_share,
        held_out_items=held_out,
        fields=fields,
        item_cot_tokens=_item_cot_tokens(chars),
        verdict=verdict,
        reasons=reasons,
    )


def _fields(entity: str, rows: pl.DataFrame, key: str) -> list[FieldReport]:
    names = [n for n, kind in rows.schema.items() if n != key and kind in (pl.String, pl.List(pl.String))]
    return [_field(entity, rows[name]) for name in names]


def _field(entity: str, column: pl.Series) -> FieldReport:
    texts = column.list.join("\n", ignore_nulls=True) if column.dtype == pl.List(pl.String) else column
    texts = texts.drop_nulls()
    texts = texts.filter(texts.str.strip_chars() != "")
    lengths = texts.str.len_chars()
    num = texts.len()

    def quantile(share: float) -> float:
        return float(lengths.quantile(share) or 0.0)

    return FieldReport(
        entity=entity,
        field=column.name,
        coverage=num / column.len() if column.len() else 0.0,
        mean_chars=float(lengths.sum()) / num if num else 0.0,
        median_chars=quantile(0.5),
        p95_chars=quantile(0.95),
        max_chars=int(quantile(1.0)),
        duplicate_share=1.0 - texts.n_unique() / num if num else 0.0,
    )


def _degrees(events: pl.DataFrame | None, name: str) -> dict[str, float]:
    if events is None or not events.height:
        return {}
    counts = events.group_by(name).len()["len"]
    return {label: float(counts.quantile(share) or 0.0) for label, share in _QUANTILES.items()}


def _cold(items: pl.DataFrame, events: pl.DataFrame | None) -> tuple[float, int]:
    if events is None or not items.height:
        return 0.0, 0
    is_train = pl.col(c.PART) == c.TRAIN
    counts = events.group_by(c.ITEM_ID).agg(train=is_train.sum())
    warm = int((counts["train"] >= COLD_BELOW).sum())
    return 1.0 - warm / items.height, int((counts["train"] == 0).sum())


def _prompt_chars(items: pl.DataFrame) -> pl.Series:
    """Characters that a prompt would read of each item: (num_items,)."""
    lengths = [pl.col(name).str.len_chars().fill_null(0) for name in PROMPT_FIELDS]
    return items.select(pl.sum_horizontal(lengths).alias("chars")).to_series()


def _item_cot_tokens(chars: pl.Series) -> int:
    """The item is in every stage's prompt, and each stage also reads the answers before it."""
    told = chars.filter(chars > 0)
    answers_read = STAGE_OUTPUT_TOKENS * sum(range(CHAIN_STAGES))
    fixed = CHAIN_STAGES * (CHAIN_OVERHEAD_TOKENS + STAGE_OUTPUT_TOKENS) + answers_read
    return round(CHAIN_STAGES * float(told.sum()) / CHARS_PER_TOKEN + told.len() * fixed)


def _verdict(items: pl.DataFrame, chars: pl.Series, cold_share: float | None) -> tuple[str, tuple[str, ...]]:
    told = chars.filter(chars > 0)
    share = told.len() / items.height if items.height else 0.0
    if share < 0.2:
        told_share = f"only {share:.1%}" if told.len() else "none"
        reason = f"{told_share} of the items have a title, brand, category or description"
        return f"Not worth a language model's cost: {reason}; it would have to invent.", (reason,)
    median = float(told.quantile(0.5) or 0.0)
    filled = items.filter(chars > 0).select(PROMPT_FIELDS)
    repeated = 1.0 - filled.n_unique() / filled.height
    reasons = [f"{share:.0%} of the items have text", f"half of them {median:.0f} characters or more"]
    if repeated >= 0.01:
        reasons.append(f"{repeated:.0%} repeat another item's text")
    if cold_share is not None:
        reasons.append(f"{cold_share:.0%} of the items have fewer than {COLD_BELOW} training events")
    doubtful = median < _SHORT_CHARS or repeated > 0.5 or share < 0.6
    opening = "Doubtful, try a sample first" if doubtful else "Worth a language model's cost"
    return f"{opening}: {_listed(reasons)}.", tuple(reasons)


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
