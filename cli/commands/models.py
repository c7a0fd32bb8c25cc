"""``featurestore models``: which language models and encoders there are, and which would run here."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption
from cli.report import Reporter

if TYPE_CHECKING:
    from llm_jobs.entries import EncoderEntry, ModelEntry
    from llm_jobs.machine import Machine


def models(
    *,
    project: Annotated[
        Path,
        typer.Option("--project", "-C", help="Folder whose featurestore.toml adds its own entries, if any."),
    ] = Path(),
    as_json: JsonOption = False,
) -> None:
    """List language models and encoders with what they need, and whether this machine has it."""
    from cli.config import config_if_any
    from llm_jobs.machine import look_at_machine
    from llm_jobs.models import find_encoder, find_model, load_encoders, load_models
    from llm_jobs.weights import cache_folder

    config = config_if_any(project)
    own_models, own_encoders = (config.models, config.encoders) if config else ({}, {})
    language = [find_model(alias, own_models, root=project) for alias in load_models(own_models)]
    encoders = [find_encoder(alias, own_encoders, root=project) for alias in load_encoders(own_encoders)]
    machine = look_at_machine(cache_folder())
    reporter = Reporter(as_json=as_json)
    language_rows = [_row(e, e.repo, machine, {"context": e.context}) for e in language]
    encoder_rows = [_row(e, e.model, machine, {"dim": e.embedding_dim}) for e in encoders]
    reporter.table("Language models (generate --model)", language_rows)
    reporter.table("Encoders (embed --encoder)", encoder_rows)
    reporter.say(f"Here: {machine.describe()}.")
    reporter.result({"models": language_rows, "encoders": encoder_rows, "machine": machine.describe()})


def _row(
    entry: "ModelEntry | EncoderEntry", repo: str, machine: "Machine", more: dict[str, object]
) -> dict[str, object]:
    from llm_jobs.weights import readiness

    needs = {"memory GiB": f"{entry.memory_gib:.1f}", "disk GiB": f"{entry.disk_gib:.1f}"}
    return {"alias": entry.alias, "here": readiness(entry, machine), **more, **needs, "repository": repo}
