"""``featurestore redteam``: attack a prompt and a model with hostile catalogue texts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.generation import (
    FieldCharsOption,
    ModelFolderOption,
    ModelOption,
    PromptOption,
    choose_model,
    choose_prompt,
)
from cli.options import JsonOption
from cli.report import ErrorReport, Reporter, print_error
from featurestore.errors import GateFailedError

if TYPE_CHECKING:
    from llm_jobs.redteam_report import KindReport, RedteamReport

_SHOWN = 10


def redteam(
    *,
    model: ModelOption = None,
    prompt: PromptOption = "item_cot",
    model_folder: ModelFolderOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="Attacks at most, from every kind in turn.")
    ] = None,
    no_undefended: Annotated[
        bool, typer.Option("--no-undefended", help="Do not run without the defence: half the requests.")
    ] = False,
    max_field_chars: FieldCharsOption = None,
    max_success_rate: Annotated[
        float | None,
        typer.Option(
            "--max-success-rate",
            min=0.0,
            max=1.0,
            help="End with exit code 5 if a larger share of the attacks succeeds with the defence.",
        ),
    ] = None,
    project: Annotated[
        Path,
        typer.Option("--project", "-C", help="Folder whose prompts and models are used, if it has any."),
    ] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Measure how often hostile item texts get their way, with the product's defence and without it.

    Every attack and its benign twin is generated in a store in memory; no project store is read or written.
    """
    from cli.config import ProjectConfig, config_if_any
    from cli.project import Project
    from llm_jobs.engines import open_model
    from llm_jobs.redteam import redteam as attack
    from llm_jobs.redteam_attacks import in_turns, load_attacks

    report = Reporter(as_json=as_json)
    opened = Project(project, config_if_any(project) or ProjectConfig())
    chosen = choose_prompt(opened, prompt, max_field_chars)
    entry = choose_model(opened, model, model_folder)
    engine = opened.config.engine
    with open_model(entry, options=engine) as open_llm, report.run_progress() as progress:
        done = attack(
            chosen,
            open_llm,
            in_turns(load_attacks(), limit),
            undefended=not no_undefended,
            max_attempts=opened.config.generate.max_attempts,
            progress=progress,
        )
    _print(report, done)
    rate = done.total.success.rate
    passed = max_success_rate is None or rate <= max_success_rate
    report.result({**done.as_dict(), "max_success_rate": max_success_rate, "passed": passed})
    if not passed:
        refused = f"{rate:.1%} of the attacks succeeded, {max_success_rate:.1%} are allowed."
        hint = "Look at the attacks above, harden the prompt or take another model, or allow more."
        found = ErrorReport(GateFailedError.__name__, refused, GateFailedError.exit_code, hint)
        print_error(found, as_json=False)
        raise typer.Exit(GateFailedError.exit_code)


def _print(report: Reporter, done: "RedteamReport") -> None:
    kinds = (*done.kinds, done.total)
    report.say(f"{done.total.success.of} attacks and as many twins: {done.prompt} by {done.model}")
    report.table("attacks that succeeded (95 % Wilson intervals)", [_success_row(kind) for kind in kinds])
    report.table("flags, and what honest twins pay", [_flag_row(kind) for kind in kinds])
    if not done.has_data_rule:
        report.say(
            "note: the system text of this prompt has no line that names <data>: it does not say what is data"
        )
    for case in done.successes[:_SHOWN]:
        stage = case.shown_in[0]
        report.say(f"  {case.attack.kind}/{case.attack.name}, {stage}: {_excerpt(case.texts[stage])}")
    if len(done.successes) > _SHOWN:
        report.say(f"  and {len(done.successes) - _SHOWN} more; --json lists all")


def _success_row(kind: "KindReport") -> dict[str, object]:
    return {
        "kind": kind.kind,
        "with defence": kind.success,
        "without": kind.success_undefended,
        "twins with": kind.copied,
        "twins without": kind.copied_undefended,
    }


def _flag_row(kind: "KindReport") -> dict[str, object]:
    return {
        "kind": kind.kind,
        "attacks flagged": kind.flagged,
        "twins flagged": kind.twins_flagged,
        "twins without text": kind.twins_failed,
        "twins damaged": kind.twins_damaged,
    }


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else f"{line[:120]}…"
