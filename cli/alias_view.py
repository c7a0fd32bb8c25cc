"""What is said of an alias that was, or was not, moved."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from cli.report import Reporter

if TYPE_CHECKING:
    from featurestore.releases.promote import AliasReport


def show_alias(report: Reporter, done: "AliasReport") -> None:
    """Print where an alias is, and where it was."""
    if not done.moved:
        report.say(f"alias {done.alias!r} names release {done.release} as before")
    else:
        before = f", before that release {done.before}" if done.before else ""
        report.say(f"alias {done.alias!r} now names release {done.release}{before}")
    report.result({**asdict(done), "moved": done.moved})
