"""``featurestore leaks``: what a model could know of the events that it is tested on."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption, ReleaseOption
from cli.report import ErrorReport, Reporter, print_error
from featurestore.errors import LeakError

if TYPE_CHECKING:
    from recommender.leaks.finding import Finding


def leaks(
    *,
    release: ReleaseOption = "production",
    accept: Annotated[
        list[str] | None,
        typer.Option(
            "--accept", help="Feature that reads held-out events on purpose: a note. May be repeated."
        ),
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Check what models of a release could know of held-out events; exit code 8 if something leaks."""
    from cli.project import open_project
    from featurestore.reader import FeatureStore
    from recommender.leaks.check import check_leaks, require_no_leaks

    reporter = Reporter(as_json=as_json)
    opened = FeatureStore(open_project(project).store).release(release)
    with reporter.progress("leaks") as progress:
        report = check_leaks(opened, accept=accept or (), progress=progress)
    reporter.table(f"Release {report.release}", [_row(finding) for finding in report.findings])
    reporter.result(
        {
            "release": report.release,
            "passed": not report.leaks,
            "findings": [asdict(finding) for finding in report.findings],
        }
    )
    try:
        require_no_leaks(report)
    except LeakError as error:
        shown = ErrorReport(type(error).__name__, error.message, error.exit_code, error.hint)
        print_error(shown, as_json=False)  # the findings are the message, also with --json
        raise typer.Exit(error.exit_code) from None


def _row(finding: "Finding") -> dict[str, object]:
    return {
        "verdict": finding.verdict,
        "check": finding.check,
        "of": finding.subject,
        "found": finding.detail,
    }
