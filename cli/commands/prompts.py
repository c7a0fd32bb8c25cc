"""``featurestore prompts``: list prompts, read one, start one, and see what one would ask."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter
from featurestore.errors import ConfigError

group = typer.Typer(
    help="List, show, copy and preview prompts.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NameArgument: TypeAlias = Annotated[str, typer.Argument(help="Name of a prompt, such as item_cot.")]


@group.command("ls")
def list_all(project: ProjectOption = Path(), as_json: JsonOption = False) -> None:
    """List the prompts of the project and of the package; a broken file says what is wrong with it."""
    from llm_jobs.catalog import prompt_names

    report = Reporter(as_json=as_json)
    rows = [_row(name, project) for name in prompt_names(project)]
    report.table("prompts", rows)
    report.result({"prompts": rows})


def _row(name: str, project: Path) -> dict[str, str]:
    from llm_jobs.catalog import prompt_path
    from llm_jobs.prompt import load_prompt

    path, origin = prompt_path(name, project)
    try:
        prompt = load_prompt(path)
    except ConfigError as error:
        unusable = f"cannot be used: {error.message}"
        return {
            "name": name,
            "entity": "",
            "stages": "",
            "digest": "",
            "origin": origin,
            "description": unusable,
        }
    return {
        "name": prompt.name,
        "entity": prompt.entity,
        "stages": ", ".join(stage.name for stage in prompt.stages),
        "digest": prompt.digest[:16],
        "origin": origin,
        "description": prompt.description,
    }


@group.command("show")
def show(name: NameArgument, project: ProjectOption = Path(), as_json: JsonOption = False) -> None:
    """Print a prompt: its variables and limits, every text, and the form of every answer."""
    from llm_jobs.answer_schema import describe_answer
    from llm_jobs.catalog import prompt_path
    from llm_jobs.prompt import load_prompt

    report = Reporter(as_json=as_json)
    path, origin = prompt_path(name, project)
    prompt = load_prompt(path)
    report.say(f"{prompt.name}: {prompt.description}")
    report.say(f"digest {prompt.digest}, {origin}: {path}")
    limits = [f"{field} (at most {tokens:,} tokens)" for field, tokens in prompt.limits.items()]
    report.say(f"reads of each {prompt.entity}: {', '.join(limits) or 'no fields'}")
    if prompt.history:
        feature = f", and {prompt.history.item_feature}" if prompt.history.item_feature else ""
        fields = ", ".join(prompt.history.fields)
        report.say(f"reads of up to {prompt.history.size} training events: {fields}{feature}")
    report.say(f"\n--- system\n{prompt.system.strip()}\n\n--- data\n{prompt.data.strip()}")
    for stage in prompt.stages:
        after = f" after {', '.join(stage.upstream)}" if stage.upstream else ""
        report.say(f"\n--- stage {stage.name}{after}, digest {prompt.stage_digest(stage)}")
        report.say(f"{stage.template.strip()}\n\n{describe_answer(stage.output_schema)}")
        report.say(f"stored text: {', '.join(stage.text_fields)}; at most {stage.max_tokens} tokens")
    report.result(
        {
            "origin": origin,
            "path": str(path),
            "digest": prompt.digest,
            "variables": prompt.variables,
            "limits": prompt.limits,
            "stage_digests": {stage.name: prompt.stage_digest(stage) for stage in prompt.stages},
            "prompt": prompt.model_dump(mode="json"),
        }
    )


@group.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Name of the new prompt; its file is prompts/NAME.toml.")],
    source: Annotated[str, typer.Option("--from", help="Prompt to copy.")] = "item_cot",
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Copy a prompt into the project, to be edited there. An existing file is never overwritten."""
    from cli.project import open_project
    from llm_jobs.catalog import copy_prompt

    report = Reporter(as_json=as_json)
    path = copy_prompt(name, source, open_project(project).root)
    report.say(f"copied {source} to {path}")
    report.say(f"edit it, then look at it with `featurestore prompts preview {name}`")
    report.result({"name": name, "from": source, "path": str(path)})


@group.command("preview")
def preview(
    name: NameArgument,
    *,
    stage: Annotated[str | None, typer.Option("--stage", help="Stage to ask; the last if absent.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows to render.")] = 2,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Render this item or user; may be given more than once.")
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Render a prompt for real rows of the project, without a model.

    Answers of earlier stages are stood in for by those of the prompt's worked sample.
    """
    from cli.project import open_project
    from llm_jobs.catalog import find_prompt
    from llm_jobs.preview import preview_prompt

    report = Reporter(as_json=as_json)
    opened = open_project(project)
    prompt = find_prompt(name, opened.root)
    previews = preview_prompt(opened.store, prompt, stage=stage, limit=limit, ids=ids or ())
    for shown in previews:
        report.say(f"=== {prompt.entity} {shown.entity_id}, stage {shown.stage}")
        for field, removed in shown.notes.items():
            report.say(f"cleaned {field}: {', '.join(removed)}")
        for message in shown.messages:
            report.say(f"--- {message.role}\n{message.content}")
        report.say("")
    report.result(
        {
            "previews": [
                {
                    "id": shown.entity_id,
                    "stage": shown.stage,
                    "notes": shown.notes,
                    "messages": [{"role": m.role, "content": m.content} for m in shown.messages],
                }
                for shown in previews
            ]
        }
    )
