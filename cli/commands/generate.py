"""``featurestore generate``: bring every text of a prompt up to date."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.generation import (
    EventsOption,
    FieldCharsOption,
    GpusPerEngineOption,
    LimitOption,
    MaxCostOption,
    MaxTokensOption,
    ModelFolderOption,
    ModelOption,
    NumEnginesOption,
    OnlyFailedOption,
    PriceOption,
    PromptOption,
    RunnerOption,
    ShardSizeOption,
    WhereOption,
    choose_events,
    choose_model,
    choose_prompt,
    choose_runner,
    choose_spending,
    choose_upstream,
)
from cli.options import JsonOption, ProjectOption
from cli.report import Reporter

if TYPE_CHECKING:
    from llm_jobs.entries import ModelEntry
    from llm_jobs.generate_report import GenerateReport
    from llm_jobs.job_graph import UpstreamJob
    from llm_jobs.prompt import Prompt


def generate(
    *,
    prompt: PromptOption = None,
    model: ModelOption = None,
    model_folder: ModelFolderOption = None,
    limit: LimitOption = None,
    where: WhereOption = None,
    events: EventsOption = None,
    only_failed: OnlyFailedOption = False,
    upstream: Annotated[
        bool,
        typer.Option(
            "--upstream",
            help="First bring all texts up to date that the prompt reads, each by the model that wrote them.",
        ),
    ] = False,
    runner: RunnerOption = "local",
    num_engines: NumEnginesOption = 1,
    gpus_per_engine: GpusPerEngineOption = None,
    shard_size: ShardSizeOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and stop, as `featurestore plan` does.")
    ] = False,
    max_field_chars: FieldCharsOption = None,
    price_per_gpu_hour: PriceOption = None,
    max_cost: MaxCostOption = None,
    max_tokens: MaxTokensOption = None,
    metrics_file: Annotated[
        Path | None,
        typer.Option("--metrics-file", help="Prometheus text file that says how the run stands."),
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write the missing and outdated texts of a prompt; stored ones stay. Interrupt it whenever you like."""
    from cli.plan_view import show_plan, show_upstream
    from cli.project import open_project
    from featurestore.jobs.committer import CommitPace
    from featurestore.prometheus import MetricsFile
    from llm_jobs.chain import ChainLimits
    from llm_jobs.engines import open_model
    from llm_jobs.generate import GenerateOptions
    from llm_jobs.generate import generate as generate_texts
    from llm_jobs.plan_report import report_plan

    report = Reporter(as_json=as_json)
    opened = open_project(project)
    config = opened.config.generate
    shortened = choose_events(opened, choose_prompt(opened, prompt, max_field_chars), events)
    entry = choose_model(opened, model, model_folder)
    spending = choose_spending(
        opened,
        price_per_gpu_hour,
        max_cost,
        max_tokens,
        num_engines=num_engines,
        gpus_per_engine=gpus_per_engine,
    )
    jobs = choose_upstream(opened, shortened, entry, max_field_chars)
    if dry_run:
        found = report_plan(
            opened.store,
            shortened,
            entry,
            limit=limit,
            where=where,
            only_failed=only_failed,
            spending=spending,
            engine=opened.config.engine,
            upstream=jobs[-1] if jobs else None,
        )
        show_plan(report, found)
        return
    options = GenerateOptions(
        limit=limit,
        where=where,
        only_failed=only_failed,
        limits=ChainLimits(max_attempts=config.max_attempts, skip_budget=config.skip_budget),
        pace=CommitPace(flush_seconds=config.flush_seconds),
        spending=spending,
    )
    path = metrics_file or (opened.path(config.metrics_file) if config.metrics_file is not None else None)
    metrics = [MetricsFile(path)] if path is not None else []

    def run(
        text: "Prompt", writer: "ModelEntry", how: GenerateOptions, read: "UpstreamJob | None"
    ) -> "GenerateReport":
        engine = opened.config.engine
        with open_model(writer, options=engine) as open_llm, report.run_progress(*metrics) as progress:
            return generate_texts(
                opened.store,
                text,
                open_llm,
                options=how,
                work_folder=opened.work_folder,
                runner=choose_runner(
                    opened,
                    writer,
                    runner,
                    num_engines=num_engines,
                    gpus_per_engine=gpus_per_engine,
                    shard_size=shard_size,
                ),
                upstream=read,
                progress=progress,
            )

    everything = replace(options, limit=None, where=None, only_failed=False)
    before: list[GenerateReport] = []
    for job in jobs if upstream else ():
        report.say(f"first {job.prompt.name}, by {job.entry.alias}: {shortened.name} reads {job.feature}")
        before.append(run(job.prompt, job.entry, everything, None))
        _show_report(report, before[-1])
    done = run(shortened, entry, options, jobs[-1] if jobs else None)
    if num_failed := sum(file.num_failed for file in metrics):
        report.say(f"the metrics file could not be written {num_failed:,} times")
    _show_report(report, done)
    show_upstream(report, done.stale_upstream)
    report.result({**done.as_dict(), "upstream_runs": [earlier.as_dict() for earlier in before]})


def _show_report(report: Reporter, done: "GenerateReport") -> None:
    from cli.plan_view import show_comparison

    if done.recovered:
        report.say(f"{done.recovered:,} rows of an interrupted run were brought into the store")
    if done.deleted:
        report.say(f"{done.deleted:,} rows of entities that are gone were deleted")
    if done.relabelled:
        report.say(
            f"{done.relabelled:,} rows read the same events under the new split: renamed, not asked again"
        )
    if not done.num_chains:
        report.say(f"nothing to do: all {done.num_entities:,} entities are up to date")
    else:
        rows = [
            {
                "stage": stage,
                "ok": outcomes.get("ok", 0),
                "failed": sum(count for reason, count in outcomes.items() if reason != "ok"),
                "reasons": ", ".join(f"{r} {n}" for r, n in sorted(outcomes.items()) if r != "ok") or "-",
            }
            for stage, outcomes in done.outcomes.items()
        ]
        report.table(f"{done.feature} by {done.model}, run {done.run_id}", rows)
        report.say(
            f"{done.requests:,} requests, {done.prompt_tokens:,} prompt tokens "
            f"({done.cached_tokens:,} cached), {done.output_tokens:,} output tokens in {done.seconds:,.1f} s "
            f"({done.tokens_per_second:,.0f} tokens/s); {done.recomputed:,} rows replaced older ones, "
            f"{done.reused:,} answers were known"
        )
        if done.planned is not None:
            show_comparison(report, done.planned, done.actual)
