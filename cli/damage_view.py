"""What is said of releases that a command went on without."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cli.report import Reporter

if TYPE_CHECKING:
    from featurestore.readable_manifests import DamagedRelease


def warn_damaged(report: Reporter, damaged: "Iterable[DamagedRelease]") -> None:
    """A line for each."""
    for each in damaged:
        report.say(f"warning: {each}")
