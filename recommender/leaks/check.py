"""All leak checks on one release."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from featurestore.errors import LeakError
from featurestore.progress import Progress, no_progress
from featurestore.reader import Release
from recommender.leaks import edges, events_read, id_order, repeats, time_order
from recommender.leaks.edges import check_edges
from recommender.leaks.events_read import check_events_read
from recommender.leaks.finding import Finding
from recommender.leaks.id_order import check_id_order
from recommender.leaks.repeats import check_repeats
from recommender.leaks.time_order import check_time

_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class LeakReport:
    """What was found in a release.

    Attributes:
        release: Its number.
        findings: By check: id order, events read, repeats, edges, time.
    """

    release: int
    findings: tuple[Finding, ...]

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """The findings that must not stand."""
        return tuple(finding for finding in self.findings if finding.verdict == "leak")


def check_leaks(
    release: Release, *, accept: Collection[str] = (), progress: Progress = no_progress
) -> LeakReport:
    """Run every check.

    Cost: the release's events are read a few times over; vectors of 1,024 users at most are pooled per graph.

    Args:
        release: An opened release with interactions.
        accept: Features that read held-out events on purpose, see `check_events_read`.
        progress: Told of checks.

    Raises:
        UnknownNameError: If a feature of ``accept`` is not in the release.
        MissingVersionError: If the release has no interactions.
        LeakError: If its interactions are those of another split than it names.
        InputError: If nothing trains.
    """
    checks: dict[str, Callable[[], list[Finding]]] = {
        id_order.CHECK: lambda: check_id_order(release),
        events_read.CHECK: lambda: check_events_read(release, accept=accept),
        repeats.CHECK: lambda: check_repeats(release),
        edges.CHECK: lambda: check_edges(release),
        time_order.CHECK: lambda: check_time(release),
    }
    findings: list[Finding] = []
    for done, (name, check) in enumerate(checks.items()):
        progress(done, len(checks), name)
        findings += check()
    progress(len(checks), len(checks))
    return LeakReport(release.number, tuple(findings))


def require_no_leaks(report: LeakReport) -> None:
    """Refuse a release in which a leak was found.

    Raises:
        LeakError: Naming the leaks.
    """
    found = report.leaks
    if not found:
        return
    lines = [f"  {finding.check}, {finding.subject}: {finding.detail}" for finding in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"  and {len(found) - _SHOWN} more")
    count = "1 leak" if len(found) == 1 else f"{len(found)} leaks"
    raise LeakError(
        "\n".join([f"{count} in release {report.release}:", *lines]),
        hint="Make it again from training events, and publish. A feature that is meant to read held-out "
        "events, such as one for a final test, is taken with --accept FEATURE.",
    )
