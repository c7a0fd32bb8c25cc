"""One call that brings every text of a prompt up to date: plan, run, commit, report.

Whatever ends a run (Ctrl-C, SIGTERM, a full disk, kill -9), the next one goes on from what is stored.
"""

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from featurestore.errors import FeatureStoreError, SkipBudgetError
from featurestore.features import FeatureRegistry
from featurestore.jobs.answers import AnswerCache
from featurestore.jobs.committer import CommitPace, CommitTarget, Committer
from featurestore.jobs.compaction import compact_after_run
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.runcard import RunStatus, write_run_card
from featurestore.progress import RunProgress, no_run_progress
from featurestore.schema import TEXTS
from featurestore.spec import TextSpec, table_name
from featurestore.store import Store
from llm_jobs.chain import ChainLimits
from llm_jobs.due import DuePolicy
from llm_jobs.engines import OpenModel
from llm_jobs.forecast import forecast
from llm_jobs.generate_report import GenerateReport, RunState
from llm_jobs.job_graph import UpstreamJob, upstream_texts
from llm_jobs.plan import plan_generation
from llm_jobs.prompt import Prompt
from llm_jobs.relabel import relabel_event_sets
from llm_jobs.runner import ChainJob, Runner
from llm_jobs.runners.local import LocalRunner
from llm_jobs.specs import stage_specs
from llm_jobs.spending import Spending


@dataclass(frozen=True, slots=True)
class GenerateOptions:
    """What to generate, and how patiently.

    Attributes:
        limit: Stale entities at most, the first in id order.
        where: Only entities that meet this polars SQL condition.
        only_failed: Retry failed rows, and do nothing else.
        due: Which stale texts may wait; None: none.
        limits: When to give up.
        pace: How long finished rows may stay uncommitted.
        spending: The price, and what the plan may cost.
    """

    limit: int | None = None
    where: str | None = None
    only_failed: bool = False
    due: DuePolicy | None = None
    limits: ChainLimits = field(default_factory=ChainLimits)
    pace: CommitPace = field(default_factory=CommitPace)
    spending: Spending = field(default_factory=Spending)


def generate(
    store: Store,
    prompt: Prompt,
    model: OpenModel,
    *,
    options: GenerateOptions | None = None,
    work_folder: Path,
    runner: Runner | None = None,
    upstream: UpstreamJob | None = None,
    progress: RunProgress = no_run_progress,
) -> GenerateReport:
    """Make every stale text of a prompt; each entity and stage ends with one row, ok or failed.

    Rows of entities that are gone are deleted. The engine starts only if there is something to ask.

    Args:
        store: Holds the sources; gets one text table per stage.
        prompt: With its limits applied.
        model: Who writes.
        options: Which entities, and how patiently.
        work_folder: Folder on this machine for logs; the same one for every run of a project.
        runner: Where the chains run; None: in this process, on the model's engine.
        upstream: The job whose texts the prompt's histories read: the report says how current these are.
        progress: Told where the run stands, from its beginning to its end.

    Raises:
        InputError: If nothing was ingested.
        UsageError: If the prompt reads unknown fields, or ``where`` cannot be evaluated.
        LockHeldError: If another job writes the same feature versions.
        PlanTooExpensiveError: If the plan exceeds a ceiling; nothing was asked or deleted then.
        SkipBudgetError: If too many rows fail.
        ShardsFailedError: If a runner gave up parts of the plan.
        StorageFullError: If a disk is full.
        SetupError: If the engine cannot start.
    """
    options = options or GenerateOptions()
    specs = stage_specs(prompt, model.entry, model.spec)
    state = RunState(prompt.name, model.entry.alias, specs, options.spending)
    with locked_texts(store, specs) as targets, _run_card(store, state, progress):
        committer = Committer(
            store, targets, folder=work_folder / "logs", run_id=state.run_id, pace=options.pace
        )
        with AnswerCache(store, run_id=state.run_id) as answers, committer:
            state.recovered = committer.recover()
            plan = plan_generation(
                store,
                prompt,
                specs,
                limit=options.limit,
                where=options.where,
                only_failed=options.only_failed,
                due=options.due,
            )
            state.num_entities, state.num_chains = plan.num_entities, len(plan.works)
            state.put_off, state.next_due = Counter(plan.put_off.values()), plan.next_due
            state.upstream = upstream_texts(store, upstream, plan.inputs) if upstream is not None else None
            runner = runner or LocalRunner(model.engine)
            state.num_engines = runner.num_engines
            state.forecast = forecast(
                store,
                prompt,
                specs,
                plan,
                entry=model.entry,
                spending=options.spending,
                num_engines=runner.num_engines,
            )
            options.spending.check(tokens=state.forecast.tokens.total, cost=state.forecast.cost)
            _register_stored(store, specs)
            for table, ids in plan.vanished.items():
                committer.delete(table, ids)
                state.deleted += len(ids)
            state.relabelled = relabel_event_sets(
                store, specs, plan.inputs, committer, outdated=plan.still_training
            )
            if plan.works:
                runner.run(
                    ChainJob(prompt, specs, state.run_id, options.limits),
                    plan,
                    committer,
                    state.standing,
                    answers=answers,
                    after_step=lambda: progress(state.snapshot("running")),
                )
        compact_after_run(store, targets)
    return state.report()


@contextmanager
def locked_texts(store: Store, specs: Sequence[TextSpec]) -> Generator[list[CommitTarget]]:
    """Lock every table to be written, in name order.

    Raises:
        LockHeldError: On entering, if another job writes one of them.
    """
    with ExitStack() as stack:
        yield [
            CommitTarget(spec, TEXTS, stack.enter_context(FeatureLock(store.objects, table_name(spec))))
            for spec in sorted(specs, key=table_name)
        ]


@contextmanager
def _run_card(store: Store, state: RunState, progress: RunProgress) -> Generator[None]:
    """Tell of the run's beginning and end, and leave a run card, however it ends; none if it did nothing."""
    progress(state.snapshot("planning"))
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, SkipBudgetError) or not isinstance(error, Exception)
        status: RunStatus = "stopped" if stopped else "failed"
        # What ended the run matters more than a card that cannot be written.
        with suppress(OSError, FeatureStoreError):
            if state.did_something:
                write_run_card(store, state.card(status, error))
        progress(state.snapshot(status, error))
        raise
    if state.did_something:
        write_run_card(store, state.card("finished"))
    progress(state.snapshot("finished"))


def _register_stored(store: Store, specs: Sequence[TextSpec]) -> None:
    """Make versions that have rows already the heads, as after going back to an earlier prompt or model."""
    registry = FeatureRegistry(store)
    for spec in specs:
        if store.latest(table_name(spec)) is not None:
            registry.register(spec)
