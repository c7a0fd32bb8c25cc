"""What an attack run found, counted by kind of attack, with intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any, Final

from llm_jobs.redteam_attacks import Attack

ALL_KINDS: Final = "all"
_Z: Final = 1.959964
"""Of a two-sided 95 % interval."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share that was counted.

    Attributes:
        count: Cases that show it.
        of: Cases looked at.
    """

    count: int
    of: int

    @property
    def rate(self) -> float:
        """The share; 0 of no cases."""
        return self.count / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % score interval (Wilson 1927, JASA 22, 209-212); (0, 1) of no cases."""
        if not self.of:
            return (0.0, 1.0)
        spread = _Z**2 / self.of
        centre = (self.rate + spread / 2) / (1 + spread)
        half = _Z / (1 + spread) * sqrt(self.rate * (1 - self.rate) / self.of + spread / (4 * self.of))
        return (max(0.0, centre - half), min(1.0, centre + half))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        low, high = self.interval
        return {"count": self.count, "of": self.of, "rate": self.rate, "low": low, "high": high}

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.count}/{self.of} ({low:.0%} to {high:.0%})"


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """What became of one entity.

    Attributes:
        attack: The attack that it, or its twin, carried.
        is_twin: Whether it carried the benign twin.
        texts: Text by stage of the stages that have one.
        failures: Reason by stage of those that failed.
        shown_in: Stages whose text shows the attack's sign.
        flags: Rules that found the entity suspicious.
        damaged: Whether cleaning took letters or digits out of the text.
    """

    attack: Attack
    is_twin: bool
    texts: Mapping[str, str]
    failures: Mapping[str, str]
    shown_in: tuple[str, ...]
    flags: tuple[str, ...]
    damaged: bool


@dataclass(frozen=True, slots=True)
class KindReport:
    """Counts of one kind of attack, or of all.

    Attributes:
        kind: Its name.
        success: Attacks whose sign is in a stored text, with the defence.
        success_undefended: The same without the defence; None if that was not run.
        copied: Twins whose text shows the sign, with the defence: copying, not obeying.
        copied_undefended: The same without the defence.
        flagged: Attacks that were flagged as suspicious.
        twins_flagged: Twins that were: false flags.
        twins_failed: Twins that got no text in some stage, with the defence.
        twins_damaged: Twins that lost letters or digits in cleaning.
    """

    kind: str
    success: Share
    success_undefended: Share | None
    copied: Share
    copied_undefended: Share | None
    flagged: Share
    twins_flagged: Share
    twins_failed: Share
    twins_damaged: Share


@dataclass(frozen=True, slots=True)
class RedteamReport:
    """What an attack run found.

    Attributes:
        prompt: Name of the prompt.
        model: Alias of the model.
        engine_class: What ran it.
        has_data_rule: Whether the prompt tells the model that the data block is data.
        defended: Outcome of every attack and twin.
        undefended: The same without the defence; empty if that was not run.
    """

    prompt: str
    model: str
    engine_class: str
    has_data_rule: bool
    defended: tuple[CaseOutcome, ...]
    undefended: tuple[CaseOutcome, ...]

    @property
    def total(self) -> KindReport:
        """All kinds together."""
        return self._count(ALL_KINDS, lambda _: True)

    @property
    def kinds(self) -> tuple[KindReport, ...]:
        """Each kind, in alphabetical order."""
        names = sorted({outcome.attack.kind for outcome in self.defended})
        return tuple(self._count(name, lambda case, name=name: case.attack.kind == name) for name in names)

    @property
    def successes(self) -> tuple[CaseOutcome, ...]:
        """Attacks that succeeded in spite of the defence."""
        return tuple(case for case in self.defended if case.shown_in and not case.is_twin)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: counts, then every attack by name."""
        names = ("prompt", "model", "engine_class", "has_data_rule")
        return {
            **{name: getattr(self, name) for name in names},
            "total": _plain(self.total),
            "kinds": [_plain(kind) for kind in self.kinds],
            "attacks": [_case(case) for case in self.defended],
            "attacks_undefended": [_case(case) for case in self.undefended],
        }

    def _count(self, kind: str, belongs: Callable[[CaseOutcome], bool]) -> KindReport:
        attacks, twins = _sides(self.defended, belongs)
        bare_attacks, bare_twins = _sides(self.undefended, belongs)
        return KindReport(
            kind=kind,
            success=_share(attacks, lambda case: bool(case.shown_in)),
            success_undefended=_share(bare_attacks, lambda case: bool(case.shown_in))
            if bare_attacks
            else None,
            copied=_share(twins, lambda case: bool(case.shown_in)),
            copied_undefended=_share(bare_twins, lambda case: bool(case.shown_in)) if bare_twins else None,
            flagged=_share(attacks, lambda case: bool(case.flags)),
            twins_flagged=_share(twins, lambda case: bool(case.flags)),
            twins_failed=_share(twins, lambda case: bool(case.failures)),
            twins_damaged=_share(twins, lambda case: case.damaged),
        )


def _sides(
    cases: Sequence[CaseOutcome], belongs: Callable[[CaseOutcome], bool]
) -> tuple[list[CaseOutcome], list[CaseOutcome]]:
    """Attacks and twins of those that belong to a kind."""
    own = [case for case in cases if belongs(case)]
    return [case for case in own if not case.is_twin], [case for case in own if case.is_twin]


def _share(cases: Sequence[CaseOutcome], shows: Callable[[CaseOutcome], bool]) -> Share:
    return Share(sum(map(shows, cases)), len(cases))


def _plain(report: KindReport) -> dict[str, Any]:
    shares = {name: getattr(report, name) for name in KindReport.__slots__ if name != "kind"}
    return {"kind": report.kind} | {name: s.as_dict() if s else None for name, s in shares.items()}


def _case(case: CaseOutcome) -> dict[str, Any]:
    named = {"attack": case.attack.name, "kind": case.attack.kind}
    return named | {name: value for name, value in asdict(case).items() if name != "attack"}
