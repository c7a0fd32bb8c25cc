"""``featurestore doctor``: what works on this machine, and what to do about the rest."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption
from cli.report import Reporter
from featurestore.errors import SetupError


def doctor(
    *,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model to check for; by default the project's.")
    ] = None,
    hub: Annotated[bool, typer.Option("--hub", help="Also ask whether the model hub answers.")] = False,
    project: Annotated[
        Path, typer.Option("--project", "-C", help="Folder whose featurestore.toml is checked for, if any.")
    ] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Check Python, packages, memory, disk, processor and models; say the remedy for what is broken.

    Ends with exit code 4 if something that the project needs is broken.
    """
    from cli.config import ProjectConfig, config_if_any
    from llm_jobs.doctor import examine, gather_facts
    from llm_jobs.models import find_encoder, find_model

    config = config_if_any(project) or ProjectConfig()
    name = model or config.generate.model
    entry = find_model(name, config.models, root=project) if name else None
    encoder = find_encoder(config.encode.encoder, config.encoders, root=project)
    facts = gather_facts(entry, encoder, ask_hub=hub)
    findings = examine(facts)
    reporter = Reporter(as_json=as_json)
    reporter.table("Doctor", [{"check": f.check, "state": f.status, "found": f.found} for f in findings])
    for finding in findings:
        if finding.remedy:
            reporter.say(f"{finding.check}: {finding.remedy}")
    broken = [finding.check for finding in findings if finding.status == "broken"]
    reporter.result({"healthy": not broken, "findings": [asdict(finding) for finding in findings]})
    if broken:
        reporter.say(f"broken: {', '.join(broken)}; the lines above say what to do.")
        raise typer.Exit(SetupError.exit_code)  # the findings are the message, also with --json
