"""One call that brings a store up to date and releases it: what runs every night.

Ingest, texts, vectors, graphs, semantic ids, gates, release, alias. Whatever ends a refresh, the next one
goes on: each stage is repeatable, and is skipped where nothing has changed (`featurestore.refresh.pipeline`).
"""

import errno
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from featurestore.errors import SetupError, StorageFullError
from featurestore.features import FeatureRegistry
from featurestore.jobs.lock import FeatureLock
from featurestore.refresh.pipeline import Pipeline, Stage, StageReport, Watch
from featurestore.refresh.release_stages import CheckStage, PromoteStage, PublishStage, VerifyStage
from featurestore.refresh.stages import IngestStage, RetireStage
from featurestore.refresh.yielding import YieldingStage
from featurestore.release import ReleaseCatalog
from featurestore.spec import VectorSpec
from featurestore.store import Store
from llm_jobs.embed import text_views
from llm_jobs.encoder import TextEncoder
from llm_jobs.engines import OpenModel
from llm_jobs.entries import EncoderEntry, ModelEntry
from llm_jobs.night_budget import BudgetStage, NightBudget
from llm_jobs.refresh_derived import DerivedStages, FeatureStage
from llm_jobs.refresh_job import FeatureJob, RefreshJob, RefreshTools
from llm_jobs.refresh_stages import PlainTextStage, TextStage, VectorStage

REFRESH_LOCK: Final = "refresh"
"""Name of the lock that keeps two refreshes of a store apart."""

RefreshStatus: TypeAlias = Literal["finished", "stopped", "failed"]
"""``stopped``: Ctrl-C or SIGTERM; ``failed``: any other error."""


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """What a refresh did.

    Attributes:
        status: How it ended.
        exit_code: What a command ends with; of a stopped one the signal decides.
        started_at: UTC, ISO 8601.
        seconds: It took.
        stages: In order; the last one is where it ended, if it did not finish.
    """

    status: RefreshStatus
    exit_code: int
    started_at: str
    seconds: float
    stages: tuple[StageReport, ...]

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "status": self.status,
            "exit_code": self.exit_code,
            "started_at": self.started_at,
            "seconds": self.seconds,
            "stages": [stage.as_dict() for stage in self.stages],
        }


def refresh(
    store: Store,
    job: RefreshJob,
    tools: RefreshTools,
    *,
    watch: Watch,
    told: Callable[[RefreshReport], None] | None = None,
) -> RefreshReport:
    """Bring a store up to date and release it.

    Args:
        store: The store.
        job: What to do.
        tools: What to do it with.
        watch: Shows how far it is.
        told: Called with the report once, however the refresh ends.

    Raises:
        LockHeldError: If another refresh of the store is going on.
        FeatureStoreError: Whatever ended a stage; what was done before is kept, and the alias is unmoved
            unless the last stage was reached.
    """
    started_at, started = datetime.now(UTC), time.monotonic()
    pipeline = Pipeline(store, watch)

    def tell(status: RefreshStatus, exit_code: int) -> RefreshReport:
        report = RefreshReport(
            status,
            exit_code,
            started_at.isoformat(timespec="seconds"),
            time.monotonic() - started,
            tuple(pipeline.reports),
        )
        if told is not None:
            told(report)
        return report

    try:
        with FeatureLock(store.objects, REFRESH_LOCK):
            _Refresh(store, job, tools, watch, pipeline).run()
    except BaseException as error:
        tell("failed" if isinstance(error, Exception) else "stopped", _exit_code(error))
        raise
    return tell("finished", 0)


def _exit_code(error: BaseException) -> int:
    """What the command ends with: interruptions and errors of ours bring their code along."""
    if isinstance(error, KeyboardInterrupt):
        return getattr(error, "exit_code", 130)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFullError.exit_code
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return SetupError.exit_code
    return getattr(error, "exit_code", 1)


_Entry = TypeVar("_Entry", ModelEntry, EncoderEntry)
_Opened = TypeVar("_Opened")


class _Shared(Generic[_Entry, _Opened]):
    """What several stages open is opened once.

    Args:
        stack: Closes all of it.
        open_one: Opens what an entry names.
    """

    def __init__(
        self, stack: ExitStack, open_one: Callable[[_Entry], AbstractContextManager[_Opened]]
    ) -> None:
        self._stack = stack
        self._open_one = open_one
        self._opened: dict[str, _Opened] = {}

    def open(self, entry: _Entry) -> _Opened:
        """What the entry names, ready to use."""
        name = entry.model_dump_json()
        if name not in self._opened:
            self._opened[name] = self._stack.enter_context(self._open_one(entry))
        return self._opened[name]


class _Refresh:
    """One refresh: opens what several stages share, and goes from stage to stage."""

    def __init__(
        self,
        store: Store,
        job: RefreshJob,
        tools: RefreshTools,
        watch: Watch,
        pipeline: Pipeline,
    ) -> None:
        self._store = store
        self._job = job
        self._tools = tools
        self._watch = watch
        self._pipeline = pipeline
        self._budget = NightBudget(job.spending) if job.spending is not None else None
        self._unwritten: set[str] = set()
        """Features of which texts remain to be written."""
        self._held: set[str] = set()
        """Features on whose vectors, graphs or semantic ids another job works."""

    def run(self) -> None:
        if self._job.sources is not None:
            self._pipeline.run(IngestStage(self._store, self._job.sources, self._watch))
        self._pipeline.run(RetireStage(self._store))
        self._check_budget()
        # An engine holds all the memory there is: it is closed before an encoder is opened.
        with ExitStack() as stack:
            models = _Shared(stack, self._tools.open_model)
            for feature in self._job.features:
                if self._pipeline.run(YieldingStage(self._text_stage(feature, models))).left is not None:
                    self._unwritten.add(feature.feature)
        with ExitStack() as stack:
            encoders = _Shared(stack, self._closing_encoder)
            for feature in self._job.features:
                self._run_vectors(feature, encoders)
        self._run_derived()
        self._release()

    def _check_budget(self) -> None:
        """Refuse the night before anything is asked, if it is bounded and its plans exceed the bound."""
        spending = self._job.spending
        if spending is not None and spending.has_ceiling:
            jobs = [feature.texts for feature in self._job.features if feature.texts is not None]
            folder = self._tools.work_folder
            self._pipeline.run(BudgetStage(self._store, jobs, spending, folder, self._watch))

    def _closing_encoder(self, entry: EncoderEntry) -> AbstractContextManager[TextEncoder]:
        return closing(self._tools.open_encoder(entry))

    def _run_vectors(self, feature: FeatureJob, encoders: _Shared[EncoderEntry, TextEncoder]) -> None:
        """Encode the texts of a feature; views that have none yet, because another job writes them, wait."""
        written = text_views(self._store, feature.feature)
        for stage in self._vector_stages(feature, encoders):
            waits = feature.feature in self._unwritten and stage.view not in written
            self._run_or_hold(stage, f"another job writes texts of {stage.feature}" if waits else None)

    def _run_derived(self) -> None:
        """Graphs and semantic ids; those of features whose vectors another job writes wait."""
        derived = DerivedStages(self._store, self._job, self._tools, self._watch)
        behind = frozenset(self._held)
        for stage in (*derived.graphs(behind), *derived.codes()):
            waits = stage.feature in behind
            self._run_or_hold(stage, f"another job writes vectors of {stage.feature}" if waits else None)

    def _run_or_hold(self, stage: FeatureStage, behind: str | None) -> None:
        """Run a stage; if another job has its work, the release keeps what it had of the feature."""
        if self._pipeline.run(YieldingStage(stage, behind)).left is not None:
            self._held.add(stage.feature)

    def _text_stage(self, feature: FeatureJob, models: _Shared[ModelEntry, OpenModel]) -> Stage:
        job = feature.texts
        if job is None:
            return PlainTextStage(self._store, feature.feature, self._watch)
        return TextStage(
            self._store,
            job.prompt,
            models.open(job.entry),
            job.options,
            self._tools.work_folder,
            job.runner,
            job.upstream,
            self._watch,
            self._budget,
        )

    def _vector_stages(
        self, feature: FeatureJob, encoders: _Shared[EncoderEntry, TextEncoder]
    ) -> list[VectorStage]:
        """The views named, by the encoder named; then views that have vectors already, each by its own."""
        known = text_views(self._store, feature.feature)
        by_view = dict.fromkeys(known if feature.views is None else feature.views, self._job.encoder)
        for head in FeatureRegistry(self._store).heads("vector"):
            spec = head.spec
            if isinstance(spec, VectorSpec) and spec.feature == feature.feature and spec.view in known:
                by_view.setdefault(spec.view, self._tools.find_encoder(spec.encoder.name))
        return [
            VectorStage(self._store, feature.feature, view, encoder, encoders.open, self._watch)
            for view, encoder in by_view.items()
        ]

    def _release(self) -> None:
        job = self._job.release
        published = self._pipeline.run(
            PublishStage(
                self._store,
                job.gates,
                job.features,
                job.probe,
                job.canary,
                self._watch,
                held=tuple(sorted(self._held)),
            ),
            holds=self._has_release,
        )
        release = int(published.facts["release"])
        if job.canary is not None:
            self._pipeline.run(VerifyStage(self._store, release, self._watch))
        if job.check is not None:
            self._pipeline.run(CheckStage(release, job.check))
        if job.alias is not None:
            required = job.gates.required_features
            self._pipeline.run(PromoteStage(self._store, release, job.alias, required))

    def _has_release(self, facts: Mapping[str, Any]) -> bool:
        """Whether the release of an earlier night is there: garbage collection may have taken it."""
        return int(facts["release"]) in ReleaseCatalog(self._store).numbers()
