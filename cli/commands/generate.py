"""``featurestore generate``: bring every text of a prompt up to date."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter
from featurestore.errors import UsageError

if TYPE_CHECKING:
    from llm_jobs.generate_report import GenerateReport
    from llm_jobs.plan import GenerationPlan


def generate(
    *,
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", help="Prompt to run; see `featurestore prompts ls`.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Model alias; `echo` answers at once, without a model."),
    ] = None,
    model_folder: Annotated[
        Path | None, typer.Option("--model-folder", help="Folder with the model's weights and tokenizer.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="Entities at most, the first in id order.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--where", help="Only entities that meet this SQL condition on their columns and `degree`."
        ),
    ] = None,
    only_failed: Annotated[bool, typer.Option("--only-failed", help="Retry failed rows only.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run and why, without a model.")
    ] = False,
    max_field_chars: Annotated[
        int | None,
        typer.Option("--max-field-chars", min=16, help="Characters of each written field at most."),
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write the missing and outdated texts of a prompt; stored ones stay. Interrupt it whenever you like."""
    from cli.project import open_project
    from featurestore.jobs.committer import CommitPace
    from llm_jobs.catalog import find_prompt
    from llm_jobs.chain import ChainLimits
    from llm_jobs.engines import open_model
    from llm_jobs.generate import GenerateOptions
    from llm_jobs.generate import generate as generate_texts
    from llm_jobs.models import find_model, model_spec
    from llm_jobs.plan import plan_generation
    from llm_jobs.specs import stage_specs

    report = Reporter(as_json=as_json)
    opened = open_project(project)
    config = opened.config.generate
    shortened = find_prompt(_named("prompt", prompt or config.prompt), opened.root).with_limits(
        max_field_chars=max_field_chars or config.max_field_chars, history_size=config.history_size
    )
    entry = find_model(
        _named("model", model or config.model), opened.config.models, folder=model_folder, root=opened.root
    )
    if dry_run:
        specs = stage_specs(shortened, entry, model_spec(entry))
        plan = plan_generation(
            opened.store, shortened, specs, limit=limit, where=where, only_failed=only_failed
        )
        _show_plan(report, plan)
        return
    options = GenerateOptions(
        limit=limit,
        where=where,
        only_failed=only_failed,
        limits=ChainLimits(max_attempts=config.max_attempts, skip_budget=config.skip_budget),
        pace=CommitPace(flush_seconds=config.flush_seconds),
    )
    with open_model(entry) as open_llm, report.progress(shortened.name) as progress:
        done = generate_texts(
            opened.store,
            shortened,
            open_llm,
            options=options,
            work_folder=opened.work_folder,
            progress=progress,
        )
    _show_report(report, done)


def _named(kind: str, name: str | None) -> str:
    if name is None:
        raise UsageError(
            f"no {kind} was named.",
            hint=f"Give --{kind} NAME, or set {kind} under [generate] in featurestore.toml.",
        )
    return name


def _show_plan(report: Reporter, plan: "GenerationPlan") -> None:
    rows = [
        {"stage": stage, "why": reason, "rows at most": count}
        for stage, reasons in plan.reasons.items()
        for reason, count in reasons.items()
    ]
    deleted = sum(len(ids) for ids in plan.vanished.values())
    report.say(f"{len(plan.works):,} of {plan.num_entities:,} entities have something to do")
    report.table("rows to write", rows)
    if deleted:
        report.say(f"rows of entities that are gone, to be deleted: {deleted:,}")
    if plan.works:
        report.say(
            f"about {plan.tokens.prompt:,} prompt tokens, {plan.tokens.shared:,} of them repeated turns; "
            f"at most {plan.tokens.output:,} output tokens, reasoning not counted"
        )
    report.result(
        {
            "dry_run": True,
            "entities": plan.num_entities,
            "chains": len(plan.works),
            "rows": {stage: dict(reasons) for stage, reasons in plan.reasons.items()},
            "deleted": deleted,
            "prompt_tokens": plan.tokens.prompt,
            "shared_prompt_tokens": plan.tokens.shared,
            "output_tokens_at_most": plan.tokens.output,
        }
    )


def _show_report(report: Reporter, done: "GenerateReport") -> None:
    from dataclasses import asdict

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
            f"({done.tokens_per_second:,.0f} tokens/s); {done.recomputed:,} rows replaced older ones"
        )
    report.result({**asdict(done), "tokens_per_second": done.tokens_per_second})
