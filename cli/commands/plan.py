"""``featurestore plan``: what a generation would do, why, and what it would take."""

from pathlib import Path

from cli.generation import (
    EventsOption,
    FieldCharsOption,
    LimitOption,
    MaxCostOption,
    MaxTokensOption,
    ModelFolderOption,
    ModelOption,
    OnlyFailedOption,
    PriceOption,
    PromptOption,
    WhereOption,
    choose_events,
    choose_model,
    choose_prompt,
    choose_spending,
    choose_upstream,
)
from cli.options import JsonOption, ProjectOption
from cli.report import Reporter


def plan(
    *,
    prompt: PromptOption = None,
    model: ModelOption = None,
    model_folder: ModelFolderOption = None,
    limit: LimitOption = None,
    where: WhereOption = None,
    events: EventsOption = None,
    only_failed: OnlyFailedOption = False,
    max_field_chars: FieldCharsOption = None,
    price_per_gpu_hour: PriceOption = None,
    max_cost: MaxCostOption = None,
    max_tokens: MaxTokensOption = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Show which texts are missing or outdated and why, and the tokens, time and money they would take."""
    from cli.plan_view import show_plan
    from cli.project import open_project
    from llm_jobs.plan_report import report_plan

    opened = open_project(project)
    shortened = choose_events(opened, choose_prompt(opened, prompt, max_field_chars), events)
    entry = choose_model(opened, model, model_folder)
    upstream = choose_upstream(opened, shortened, entry, max_field_chars)
    found = report_plan(
        opened.store,
        shortened,
        entry,
        limit=limit,
        where=where,
        only_failed=only_failed,
        spending=choose_spending(opened, price_per_gpu_hour, max_cost, max_tokens),
        engine=opened.config.engine,
        upstream=upstream[-1] if upstream else None,
    )
    show_plan(Reporter(as_json=as_json), found)
