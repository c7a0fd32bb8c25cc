"""``featurestore refresh``: everything up to date and released, every night."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.generation import (
    GpusPerEngineOption,
    MaxCostOption,
    MaxTokensOption,
    NumEnginesOption,
    PriceOption,
    RunnerOption,
    ShardSizeOption,
    choose_runner,
    choose_spending,
)
from cli.options import JsonOption, ProjectOption
from cli.report import Reporter

if TYPE_CHECKING:
    from cli.project import Project
    from featurestore.progress import RunProgress
    from llm_jobs.entries import ModelEntry
    from llm_jobs.refresh import RefreshReport
    from llm_jobs.refresh_job import RefreshTools
    from llm_jobs.runner import Runner


def refresh(
    *,
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            help="Write texts only for entities that meet this SQL condition on their columns and `degree`, "
            "such as `degree < 50`; for features whose section has no condition of its own.",
        ),
    ] = None,
    canary: Annotated[
        bool,
        typer.Option(
            "--canary",
            help="Let the canary alias name the release, verify all that it holds, and then promote it.",
        ),
    ] = False,
    no_promote: Annotated[
        bool, typer.Option("--no-promote", help="Make the release, but do not move the production alias.")
    ] = False,
    report_file: Annotated[
        Path | None,
        typer.Option("--report", help="Write the report as JSON to this file, however the refresh ends."),
    ] = None,
    runner: RunnerOption = "local",
    num_engines: NumEnginesOption = 1,
    gpus_per_engine: GpusPerEngineOption = None,
    shard_size: ShardSizeOption = None,
    price_per_gpu_hour: PriceOption = None,
    max_cost: MaxCostOption = None,
    max_tokens: MaxTokensOption = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Bring the store up to date and publish it: for every night.

    Ingests, writes texts, encodes them, builds graphs and semantic ids and makes a release, each only where
    something has changed. Features, conditions and policies stand under [refresh] in featurestore.toml. Run
    it again after whatever stopped it. The ceilings hold for all texts of the night together.
    """
    from cli.gating import project_probe
    from cli.pages import check_page
    from cli.project import open_project
    from cli.refreshing import FeatureJobs, StageLines, release_check
    from cli.sources import ingest_request
    from featurestore.jobs.committer import CommitPace
    from llm_jobs.chain import ChainLimits
    from llm_jobs.generate import GenerateOptions
    from llm_jobs.refresh import refresh as run_refresh
    from llm_jobs.refresh_job import RefreshJob, ReleaseJob

    if report_file is not None:
        check_page(report_file)
        report_file.unlink(missing_ok=True)  # one of an earlier night must not stand for this one
    reporter = Reporter(as_json=as_json)
    opened = open_project(project)
    config = opened.config
    spending = choose_spending(
        opened,
        price_per_gpu_hour,
        max_cost,
        max_tokens,
        num_engines=num_engines,
        gpus_per_engine=gpus_per_engine,
    )
    options = GenerateOptions(
        limits=ChainLimits(
            max_attempts=config.generate.max_attempts, skip_budget=config.generate.skip_budget
        ),
        pace=CommitPace(flush_seconds=config.generate.flush_seconds),
        spending=spending,
    )

    def runner_of(entry: "ModelEntry") -> "Runner | None":
        return choose_runner(
            opened,
            entry,
            runner,
            num_engines=num_engines,
            gpus_per_engine=gpus_per_engine,
            shard_size=shard_size,
        )

    tools = _tools(opened)
    sources = ingest_request(opened)
    job = RefreshJob(
        sources=sources if sources.files else None,
        features=FeatureJobs(opened, options, runner_of, where=where).build(),
        encoder=tools.find_encoder(config.encode.encoder),
        graph=config.graph,
        semantic_ids=config.semantic_ids,
        release=ReleaseJob(
            gates=config.gates,
            alias=None if no_promote else config.refresh.alias,
            probe=project_probe(opened),
            canary=config.refresh.canary if canary else None,
            check=release_check(config.refresh.check, opened.root),
        ),
        spending=spending,
    )
    done = run_refresh(
        opened.store,
        job,
        tools,
        watch=StageLines(reporter, lambda stage: _metrics(opened, stage)),
        told=lambda report: _write(report_file, report),
    )
    _print(reporter, done)
    reporter.result(done.as_dict())


def _tools(project: "Project") -> "RefreshTools":
    from featurestore.graphs import open_builder
    from llm_jobs.encoders import open_encoder
    from llm_jobs.engines import open_model
    from llm_jobs.models import find_encoder
    from llm_jobs.refresh_job import RefreshTools

    config = project.config
    return RefreshTools(
        open_model=lambda entry: open_model(entry, options=config.engine),
        open_encoder=lambda entry: open_encoder(entry, batch_size=config.encode.batch_size),
        find_encoder=lambda alias: find_encoder(alias, config.encoders, root=project.root),
        open_builder=lambda search: open_builder(search=search),
        work_folder=project.work_folder,
    )


def _metrics(project: "Project", stage: str) -> "list[RunProgress]":
    """The project's metrics file, one for each prompt: ``generate.prom`` is ``generate.item_cot.prom``."""
    from featurestore.prometheus import MetricsFile

    if project.config.generate.metrics_file is None:
        return []
    path = project.path(project.config.generate.metrics_file)
    return [MetricsFile(path.with_name(f"{path.stem}.{stage.partition('.')[2]}{path.suffix}"))]


def _write(path: Path | None, report: "RefreshReport") -> None:
    """Replace the report file as a whole: whoever reads it sees one report."""
    if path is None:
        return
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(report.as_dict(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def _print(reporter: Reporter, report: "RefreshReport") -> None:
    from cli.refreshing import what_happened

    reporter.table(
        "refresh",
        [
            {
                "stage": stage.name,
                "status": stage.status,
                "seconds": round(stage.seconds, 1),
                "what": what_happened(stage) or "-",
            }
            for stage in report.stages
        ],
    )
