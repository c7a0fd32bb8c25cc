"""What a leak check found."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["ok", "leak", "unknown", "note"]
"""``unknown``: the release does not say. ``note``: worth knowing, and nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: Which check: ``id order``, ``events read``, ``repeats``, ``edges`` or ``time``.
        subject: What it looked at, such as ``item rows`` or ``text user_cot.fused``.
        verdict: See `Verdict`.
        figures: What was measured, by name.
        detail: One sentence.
    """

    check: str
    subject: str
    verdict: Verdict
    figures: dict[str, float | int | str]
    detail: str
