"""Runs a plan on many engines, on this machine or a Ray cluster: Ray Data hands shards to actors.

One actor is one process with one engine. Ray executes and nothing else: a shard attempt writes one segment of
rows and one receipt to the store's objects, and the job's committer, in the process that started the run,
does the rest. So Ray may repeat a shard as often as it likes: each of its rows is committed once.

An actor whose engine fails, or that is killed, is replaced, and its shard is repeated by whichever is free. A
shard that costs too many actors is given up: the run goes on, and ends with an error that names it.
"""

import logging
import os
import signal
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from featurestore.errors import SetupError, ShardsFailedError, UsageError, missing_extra
from featurestore.jobs.answers import AnswerCache
from featurestore.jobs.committer import Committer
from featurestore.stores import connect
from llm_jobs.plan import GenerationPlan
from llm_jobs.runner import ChainJob, Standing
from llm_jobs.runners.arrivals import Arrivals
from llm_jobs.runners.shard_worker import (
    EngineFailedError,
    OpenEngine,
    ShardReport,
    ShardWorker,
    failed_shard,
)
from llm_jobs.shards import DEFAULT_SHARD_SIZE, Shard, cut_plan

_SHARD: Final = "shard"
_REPORT: Final = "report"
_OBJECT_STORE_BYTES: Final = 512 * 2**20
"""Memory for shards on their way, of a Ray that we start ourselves; what is more goes to disk."""
_SPARE_CORES: Final = 2
"""Logical cores beside the engines', without which Ray Data may starve (seen with 2 in all)."""
_ENGINE_FAILED: Final = 70
_RAY_WORDS: Final = 1000
"""Characters of Ray's own words, which end with the cause."""
_SILENT_DEATH: Final = "its process was killed, most often for lack of memory"


@dataclass(frozen=True, slots=True)
class RayOptions:
    """How a plan is spread.

    Attributes:
        num_engines: Actors, each with an engine of its own.
        shard_size: Entities of a shard at most.
        max_attempts: Actors that a shard may cost before it is given up.
        gpus_per_engine: GPUs that Ray reserves for each actor; None: one, if the cluster has any now.
    """

    num_engines: int = 1
    shard_size: int = DEFAULT_SHARD_SIZE
    max_attempts: int = 3
    gpus_per_engine: int | None = None


class RayRunner:
    """Implements `llm_jobs.runner.Runner` on Ray: the cluster of ``RAY_ADDRESS``, or one of this machine.

    Args:
        store_uri: The store, where every machine of the cluster can reach it.
        open_engine: Called in each actor's process; it is sent there, so it must be picklable.
        options: How the plan is spread.

    Raises:
        UsageError: If the store is in this process's memory.
    """

    def __init__(self, store_uri: str, open_engine: OpenEngine, options: RayOptions | None = None) -> None:
        if store_uri.startswith("memory:"):
            raise UsageError(
                f"the store {store_uri} lives in this process; Ray's actors cannot write to it.",
                hint="Set [store] uri to a folder that all machines share, or to s3://bucket/prefix.",
            )
        self._store_uri = store_uri if "://" in store_uri else str(Path(store_uri).absolute())
        self._open_engine = open_engine
        self._options = options or RayOptions()

    @property
    def num_engines(self) -> int:
        """See `Runner.num_engines`."""
        return self._options.num_engines

    def run(
        self,
        job: ChainJob,
        plan: GenerationPlan,
        committer: Committer,
        standing: Standing,
        *,
        answers: AnswerCache,
        after_step: Callable[[], None],
    ) -> None:
        """See `Runner.run`.

        Raises:
            SkipBudgetError: If too many rows fail.
            ShardsFailedError: At the end, if shards were given up; earlier, if they are too many.
            SetupError: If Ray is not installed, or the cluster does not answer.
        """
        objects = connect(self._store_uri).objects
        arrivals = Arrivals(job, len(plan.works), committer, standing, answers=answers, objects=objects)
        try:
            with _running_ray(self._options.num_engines):
                for report in self._reports(job, plan):
                    arrivals.take(report)
                    after_step()
        finally:
            arrivals.take_the_rest()
        arrivals.finish()

    def _reports(self, job: ChainJob, plan: GenerationPlan) -> Iterator[ShardReport]:
        import ray
        import ray.data
        from ray.exceptions import RayError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        options, gpus = self._options, self._options.gpus_per_engine
        if gpus is None:
            gpus = 1 if ray.cluster_resources().get("GPU") else 0
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        attempts = ray.remote(num_cpus=0)(_Attempts).options(scheduling_strategy=here).remote()
        shards = [{_SHARD: shard} for shard in cut_plan(plan, options.shard_size)]
        # One shard at a time for an actor: those that wait go to whichever is free first.
        pool = ray.data.ActorPoolStrategy(
            size=min(options.num_engines, len(shards)), max_tasks_in_flight_per_actor=1
        )
        actor: Any = _ShardActor  # Ray takes classes, its types know of functions only
        reports = ray.data.from_items(shards, override_num_blocks=len(shards)).map(
            actor,
            fn_constructor_args=(job, self._open_engine, self._store_uri, attempts, options.max_attempts),
            compute=pool,
            num_cpus=1,
            num_gpus=gpus,
            max_restarts=-1,
            max_task_retries=-1,
        )
        try:
            for row in reports.iter_rows():
                yield ShardReport.model_validate_json(row[_REPORT])
        except RayError as error:
            raise ShardsFailedError(
                f"Ray gave the run up: {type(error).__name__}: {str(error)[-_RAY_WORDS:]}",
                hint="What was committed is kept. Run the command again: it does what is missing.",
            ) from error


class _Attempts:
    """An actor that counts the attempts of every shard, and remembers what the last one died of."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._errors: dict[str, str] = {}

    def claim(self, shard_id: str) -> tuple[int, str]:
        """The number of a new attempt, from 1, and the error of the last one."""
        self._counts[shard_id] += 1
        return self._counts[shard_id], self._errors.get(shard_id, _SILENT_DEATH)

    def note(self, shard_id: str, error: str) -> None:
        """Remember why an attempt failed."""
        self._errors[shard_id] = error


class _ShardActor:
    """A process with an engine. Ray Data calls it with one shard after another."""

    def __init__(
        self,
        job: ChainJob,
        open_engine: OpenEngine,
        store_uri: str,
        attempts: Any,  # noqa: ANN401 - Ray's handle of `_Attempts`
        max_attempts: int,
    ) -> None:
        self._worker = ShardWorker(job, open_engine, connect(store_uri))
        self._attempts = attempts
        self._max_attempts = max_attempts

    def __call__(self, row: Mapping[str, Shard]) -> dict[str, str]:
        """One attempt at a shard; its outcome as one string."""
        return {_REPORT: self._attempt(row[_SHARD]).model_dump_json()}

    def _attempt(self, shard: Shard) -> ShardReport:
        import ray

        number, last_error = ray.get(self._attempts.claim.remote(shard.shard_id))
        if number > self._max_attempts:
            return failed_shard(shard, self._max_attempts, last_error)
        try:
            return self._worker.run(shard, number)
        except EngineFailedError as error:
            ray.get(self._attempts.note.remote(shard.shard_id, error.message))
            # Ray replaces an actor whose process dies, and repeats its task. It does neither for an exception
            # or a proper exit.
            os._exit(_ENGINE_FAILED)


@contextmanager
def _running_ray(num_engines: int) -> Generator[None]:
    """Connect to the caller's Ray session, the cluster of ``RAY_ADDRESS``, or a Ray of our own.

    A Ray of our own listens on this machine only: whoever reaches its ports may run code.
    """
    on_cluster = bool(os.environ.get("RAY_ADDRESS"))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not on_cluster:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # its name for: loopback only
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's imports warn of its own dependencies
        try:
            import ray
            import ray.data
        except ImportError:
            raise missing_extra("ray", "ray") from None
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
    if ray.is_initialized():
        yield
        return
    with _own_signal_handling(), warnings.catch_warnings():
        # LanceDB warns of each process that Ray starts: these never touch it before they are Ray's own.
        warnings.filterwarnings("ignore", message="lancedb fork support")
        if on_cluster:
            _join_cluster(os.environ["RAY_ADDRESS"])
        else:
            ray.init(
                "local",
                num_cpus=max(os.cpu_count() or 1, num_engines + _SPARE_CORES),
                object_store_memory=_OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    try:
        yield
    finally:
        ray.shutdown()


def _join_cluster(address: str) -> None:
    import ray

    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise SetupError(
            f"no Ray cluster answers at RAY_ADDRESS={address!r}: {error}",
            hint="Start it, or unset RAY_ADDRESS to run on this machine.",
        ) from error


@contextmanager
def _own_signal_handling() -> Generator[None]:
    """Keep SIGTERM as it was: Ray's handler would end this process before finished rows are committed."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
