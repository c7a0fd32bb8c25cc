"""What stored rows tell of the answers to come: how long they are, how often they are asked for twice."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from featurestore import columns as c
from featurestore.errors import MissingVersionError
from featurestore.features import FeatureRegistry
from featurestore.jobs.runcard import RunCard
from featurestore.spec import TextSpec, table_name
from featurestore.store import Store

_ENOUGH_ROWS: Final = 8
"""Fewer rows say little about a mean."""
_SAMPLED_ANSWERS: Final = 128
_TOKENS: Final = (c.PROMPT_TOKENS, c.CACHED_TOKENS, c.OUTPUT_TOKENS)


@dataclass(frozen=True, slots=True)
class PastAnswers:
    """Stored rows of one stage, in means.

    Attributes:
        basis: Which rows these are, in words.
        asked_share: Share of the rows for which the engine was asked at all.
        requests_per_row: Requests for each of these.
        output_tokens: Of a request, reasoning included.
        cached_share: Share of the prompt tokens that were computed before; None if no request tells.
        answers: A sample of canonical answers; may be empty.
    """

    basis: str
    asked_share: float
    requests_per_row: float
    output_tokens: float
    cached_share: float | None
    answers: tuple[str, ...]


def past_answers(store: Store, spec: TextSpec, cards: Sequence[RunCard], *, seed: int) -> PastAnswers | None:
    """Means over the stored rows of a stage's own version, else of another version by the same model.

    Reads the token columns of one table and up to 128 answers.

    Args:
        store: Where texts are.
        spec: The stage.
        cards: Recent runs, newest first: they name the other versions.
        seed: Chooses the sample.

    Returns:
        None if there are fewer than eight rows to learn from.
    """
    own = _read(store, spec, "rows of this version", seed=seed)
    if own is not None:
        return own
    registry = FeatureRegistry(store)
    digests = {card.specs[spec.view]: None for card in cards if _is_kin(card, spec)}
    for digest in digests:
        try:
            other = registry.find("text", digest).spec
        except MissingVersionError:
            continue
        if isinstance(other, TextSpec) and other.model == spec.model:
            found = _read(store, other, "rows of another version by this model", seed=seed)
            if found is not None:
                return found
    return None


def _is_kin(card: RunCard, spec: TextSpec) -> bool:
    return card.feature == spec.feature and spec.view in card.specs and card.specs[spec.view] != spec.digest


def _read(store: Store, spec: TextSpec, which: str, *, seed: int) -> PastAnswers | None:
    table = table_name(spec)
    if store.latest(table) is None:
        return None
    rows = pl.DataFrame(store.read(table, columns=[c.ID, c.STATUS, c.REQUEST_KEY, c.ATTEMPTS, *_TOKENS]))
    asked = rows.filter(pl.col(c.REQUEST_KEY).is_not_null() & (pl.col(c.OUTPUT_TOKENS) > 0))
    if len(asked) < _ENOUGH_ROWS:
        return None
    # A prompt that counts as cached to its last token was not asked for: its answer was known.
    computed = asked.filter(pl.col(c.CACHED_TOKENS) < pl.col(c.PROMPT_TOKENS))
    prompt_tokens = int(computed[c.PROMPT_TOKENS].sum())
    return PastAnswers(
        basis=f"{len(asked):,} {which}",
        asked_share=len(asked) / len(rows),
        requests_per_row=_mean(asked[c.ATTEMPTS]),
        output_tokens=min(_mean(asked[c.OUTPUT_TOKENS]), spec.sampling.max_tokens),
        cached_share=int(computed[c.CACHED_TOKENS].sum()) / prompt_tokens if prompt_tokens else None,
        answers=_sample(store, table, asked, seed=seed),
    )


def _sample(store: Store, table: str, asked: pl.DataFrame, *, seed: int) -> tuple[str, ...]:
    ids = asked.filter(pl.col(c.STATUS) == c.STATUS_OK)[c.ID].sort().to_list()
    chosen = random.Random(seed).sample(ids, min(_SAMPLED_ANSWERS, len(ids)))  # noqa: S311 - no secret
    return tuple(store.read(table, columns=[c.ANSWER], ids=chosen)[c.ANSWER].to_pylist()) if chosen else ()


def _mean(values: pl.Series) -> float:
    return float(values.cast(pl.Float64).mean() or 0.0)  # pyright: ignore[reportArgumentType] - a float column's mean
