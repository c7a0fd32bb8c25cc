"""One call that brings every text of a prompt up to date: plan, run, commit, report.

Whatever ends a run (Ctrl-C, SIGTERM, a full disk, kill -9), the next one goes on from what is stored.
"""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from featurestore.errors import FeatureStoreError, SkipBudgetError
from featurestore.features import FeatureRegistry
from featurestore.jobs.committer import CommitPace, CommitTarget, Committer
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.runcard import write_run_card
from featurestore.progress import Progress, no_progress
from featurestore.schema import TEXTS
from featurestore.spec import TextSpec, table_name
from featurestore.store import Store
from llm_jobs.chain import ChainLimits
from llm_jobs.engines import OpenModel
from llm_jobs.generate_report import GenerateReport, RunState
from llm_jobs.plan import GenerationPlan, plan_generation
from llm_jobs.prompt import Prompt
from llm_jobs.relabel import relabel_event_sets
from llm_jobs.runner import ChainJob, Runner, Standing
from llm_jobs.runners.local import LocalRunner
from llm_jobs.specs import stage_specs


@dataclass(frozen=True, slots=True)
class GenerateOptions:
    """What to generate, and how patiently.

    Attributes:
        limit: Stale entities at most, the first in id order.
        where: Only entities that meet this polars SQL condition.
        only_failed: Retry failed rows, and do nothing else.
        limits: When to give up.
        pace: How long finished rows may stay uncommitted.
    """

    limit: int | None = None
    where: str | None = None
    only_failed: bool = False
    limits: ChainLimits = field(default_factory=ChainLimits)
    pace: CommitPace = field(default_factory=CommitPace)


def generate(
    store: Store,
    prompt: Prompt,
    model: OpenModel,
    *,
    options: GenerateOptions | None = None,
    work_folder: Path,
    runner: Runner | None = None,
    progress: Progress = no_progress,
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
        progress: Told about finished entities.

    Raises:
        InputError: If nothing was ingested.
        UsageError: If the prompt reads unknown fields, or ``where`` cannot be evaluated.
        LockHeldError: If another job writes the same feature versions.
        SkipBudgetError: If too many rows fail.
        StorageFullError: If a disk is full.
        SetupError: If the engine cannot start.
    """
    options = options or GenerateOptions()
    specs = stage_specs(prompt, model.entry, model.spec)
    state = RunState(prompt.name, model.entry.alias, specs)
    with _locked(store, specs) as targets, _run_card(store, state):
        committer = Committer(
            store, targets, folder=work_folder / "logs", run_id=state.run_id, pace=options.pace
        )
        with committer:
            state.recovered = committer.recover()
            plan = plan_generation(
                store,
                prompt,
                specs,
                limit=options.limit,
                where=options.where,
                only_failed=options.only_failed,
            )
            state.num_entities, state.num_chains = plan.num_entities, len(plan.works)
            _register_stored(store, specs)
            for table, ids in plan.vanished.items():
                committer.delete(table, ids)
                state.deleted += len(ids)
            state.relabelled = relabel_event_sets(store, specs, plan.inputs, committer)
            if plan.works:
                _run_chains(
                    ChainJob(prompt, specs, state.run_id, options.limits),
                    plan,
                    runner or LocalRunner(model.engine),
                    committer=committer,
                    state=state,
                    progress=progress,
                )
    return state.report()


def _run_chains(
    job: ChainJob,
    plan: GenerationPlan,
    runner: Runner,
    *,
    committer: Committer,
    state: RunState,
    progress: Progress,
) -> None:
    standing = Standing()

    def after_step() -> None:
        rate = standing.tally.output_tokens / max(standing.engine_seconds, 1e-6)
        progress(standing.num_done, len(plan.works), f"{rate:,.0f} tokens/s")

    try:
        runner.run(job, plan, committer, standing, after_step)
    finally:
        state.tally, state.engine_class = standing.tally, standing.engine_class
        state.engine_seconds = standing.engine_seconds


@contextmanager
def _locked(store: Store, specs: Sequence[TextSpec]) -> Generator[list[CommitTarget]]:
    """Lock every table to be written, in name order."""
    with ExitStack() as stack:
        yield [
            CommitTarget(spec, TEXTS, stack.enter_context(FeatureLock(store.objects, table_name(spec))))
            for spec in sorted(specs, key=table_name)
        ]


@contextmanager
def _run_card(store: Store, state: RunState) -> Generator[None]:
    """Leave a run card, however the run ends; none if it did nothing."""
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, SkipBudgetError) or not isinstance(error, Exception)
        # What ended the run matters more than a card that cannot be written.
        with suppress(OSError, FeatureStoreError):
            if state.did_something:
                write_run_card(store, state.card("stopped" if stopped else "failed", error))
        raise
    if state.did_something:
        write_run_card(store, state.card("finished"))


def _register_stored(store: Store, specs: Sequence[TextSpec]) -> None:
    """Make versions that have rows already the heads, as after going back to an earlier prompt or model."""
    registry = FeatureRegistry(store)
    for spec in specs:
        if store.latest(table_name(spec)) is not None:
            registry.register(spec)
