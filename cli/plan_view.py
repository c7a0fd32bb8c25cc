"""How a plan, and what became of it, look on the command line."""

from typing import TYPE_CHECKING

from cli.report import Reporter, duration

if TYPE_CHECKING:
    from featurestore.jobs.runcard import PlannedRun
    from llm_jobs.forecast import Forecast
    from llm_jobs.job_graph import UpstreamTexts
    from llm_jobs.plan_report import PlanReport


def show_plan(report: Reporter, plan: "PlanReport") -> None:
    """Print a plan, then refuse it if it exceeds a ceiling.

    Raises:
        PlanTooExpensiveError: If it does.
    """
    report.say(
        f"{plan.feature} by {plan.model}: "
        f"{plan.num_chains:,} of {plan.num_entities:,} entities have something to do"
    )
    rows = [
        {"stage": stage, "why": reason, "rows at most": count}
        for stage, reasons in plan.reasons.items()
        for reason, count in reasons.items()
    ]
    report.table("rows to write", rows)
    if plan.num_deleted:
        report.say(f"rows of entities that are gone, to be deleted: {plan.num_deleted:,}")
    if plan.num_chains:
        _show_tokens(report, plan.forecast)
        report.say(f"time: {_time(plan.forecast)}")
        report.say(f"cost: {_cost(plan)}")
    if plan.memory is not None:
        verdict = "it fits" if plan.memory.fits else "it does not fit"
        report.say(
            f"memory: the model takes {plan.memory.needed_gib:.1f} GiB of {plan.memory.where}, "
            f"{plan.memory.free_gib:.1f} GiB are free: {verdict}"
        )
    show_upstream(report, plan.stale_upstream)
    plan.check_ceilings()
    report.result(plan.as_dict())


def show_upstream(report: Reporter, texts: "UpstreamTexts | None") -> None:
    """Warn of texts that histories read and that are missing or outdated."""
    if texts is not None and not texts.is_current:
        report.say(
            f"warning: of {texts.num_read:,} items in the histories, {texts.num_missing:,} have no "
            f"{texts.feature} and {texts.num_stale:,} an outdated one; --upstream of `featurestore generate` "
            f"writes them first, with {texts.model}"
        )


def show_comparison(report: Reporter, planned: "PlannedRun", actual: "PlannedRun") -> None:
    """Print what a plan foresaw beside what happened."""
    from featurestore.jobs.runcard import plan_errors

    errors = plan_errors(planned, actual)
    numbers: list[tuple[str, str, float | None, float | None]] = [
        ("prompt tokens", "prompt_tokens", planned.prompt_tokens, actual.prompt_tokens),
        ("cached tokens", "cached_tokens", planned.cached_tokens, actual.cached_tokens),
        ("output tokens", "output_tokens", planned.output_tokens, actual.output_tokens),
        ("tokens", "tokens", planned.tokens, actual.tokens),
        ("seconds", "seconds", planned.seconds, actual.seconds),
        ("cost", "cost", planned.cost, actual.cost),
    ]
    rows = [
        {
            "what": label,
            "planned": _number(foreseen),
            "happened": _number(happened),
            "plan off by": f"{errors[name]:+.1%}" if name in errors else "-",
        }
        for label, name, foreseen, happened in numbers
        if foreseen is not None or happened is not None
    ]
    report.table("the plan and what happened", rows)


def _show_tokens(report: Reporter, forecast: "Forecast") -> None:
    tokens = forecast.tokens
    rows = [
        {
            "stage": stage.stage,
            "requests": stage.requests,
            "prompt tokens": stage.prompt,
            "cached": f"{stage.cached / stage.prompt:.0%}" if stage.prompt else "-",
            "output tokens": stage.output,
            "at most": stage.output_at_most,
            "output expected from": stage.basis,
        }
        for stage in tokens.stages
    ]
    report.table("tokens expected", rows)
    report.say(
        f"in all about {tokens.prompt:,} prompt tokens, {tokens.cached:,} of them cached, and "
        f"{tokens.output:,} output tokens; counted by {tokens.counted_by} on {tokens.num_sampled:,} entities"
    )


def _time(forecast: "Forecast") -> str:
    speed = forecast.speed
    if speed is None or forecast.seconds is None:
        return "unknown, this model never ran on such a machine into this store"
    runs = f"{speed.num_runs:,} run{'s' if speed.num_runs != 1 else ''} of {speed.engine} on such a machine"
    return (
        f"about {duration(forecast.seconds)}, {speed.other_seconds:,.0f} s of it start-up and the like; "
        f"from {runs} ({speed.prompt_tokens_per_second:,.0f} uncached prompt tokens/s, "
        f"{speed.output_tokens_per_second:,.0f} output tokens/s)"
    )


def _cost(plan: "PlanReport") -> str:
    price = plan.spending.price_per_gpu_hour
    if price is None:
        return "unknown, no price was given (--price-per-gpu-hour)"
    if plan.forecast.cost is None:
        return "unknown, as the time is"
    gpus = f"{plan.spending.num_gpus:,} GPU{'s' if plan.spending.num_gpus != 1 else ''} (or machine without)"
    return f"about {plan.forecast.cost:,.2f} at {price:,.2f} an hour, {gpus}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if value >= 1 else f"{value:.4f}"
