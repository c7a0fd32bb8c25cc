"""Works off the runs that are due, in one process or several that share the machine."""

import multiprocessing
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from recommender.registry import find_model, model_names
from recommender.training.allocator import keep_freed_memory
from scripts.study.code_version import run_version
from scripts.study.datasets import CACHE, find_dataset
from scripts.study.execute import Prepared, Stopped, execute
from scripts.study.queue import DUE, Standing, claim, standings
from scripts.study.records import Records
from scripts.study.runs import Run
from scripts.study.studies import write

CLAIMS: Final = CACHE / "claims"
FAILURES: Final = CACHE / "failures"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process may use.

    Attributes:
        threads: Of torch.
        deadline: Monotonic second at which it ends; None: when nothing is due.
    """

    threads: int = 1
    deadline: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline


def work(runs: Sequence[Run], data: Mapping[str, str], limits: Limits, num_workers: int = 1) -> int:
    """Compute what is due of some runs.

    Args:
        runs: In the order of their importance.
        data: Data set → its digest; the data sets are prepared.
        limits: Of each process.
        num_workers: Processes.

    Returns:
        How many runs failed, or how many processes had a run that failed.
    """
    if num_workers == 1:
        return work_alone(runs, data, limits)
    context = multiprocessing.get_context("spawn")
    arguments = (list(runs), dict(data), limits)
    workers = [context.Process(target=_work_beside_others, args=arguments) for _ in range(num_workers)]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join()
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    return sum(worker.exitcode != 0 for worker in workers)


def end_on_signals() -> None:
    """Take SIGTERM like Ctrl-C, and take Ctrl-C even in a process that a shell put into the background."""
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.default_int_handler)


def _work_beside_others(runs: Sequence[Run], data: Mapping[str, str], limits: Limits) -> None:
    end_on_signals()
    try:
        sys.exit(min(work_alone(runs, data, limits), 1))
    except KeyboardInterrupt:
        sys.exit(130)


def work_alone(runs: Sequence[Run], data: Mapping[str, str], limits: Limits) -> int:
    """Compute what is due, one run after the other; a failed run is passed by until its code changes."""
    keep_freed_memory()
    load_models(runs)
    records, prepared, num_failed = Records(), dict[str, Prepared](), 0
    for run in runs:
        if limits.is_over:
            break
        [found] = standings([run], records, data)
        if found.state not in DUE or found.key is None or _has_failed(found.key):
            continue
        with claim(CLAIMS, found.key) as is_free:
            [found] = standings([run], records, data)
            if is_free and found.state in DUE:
                if run.dataset not in prepared:
                    prepared[run.dataset] = Prepared.open(find_dataset(run.dataset), data[run.dataset])
                num_failed += not _compute(found, prepared[run.dataset], records, limits)
    return num_failed


def load_models(runs: Sequence[Run]) -> None:
    """Import the models of some runs and take their versions, before anybody edits their files.

    Both are kept for as long as the process lives, so a record names the code that computed it.
    """
    known = set(model_names())
    for model in {run.model for run in runs} & known:
        try:
            find_model(model)
        except Exception as error:  # noqa: BLE001 - a model under development fails in its own runs only
            print(f"{model}: cannot be imported: {error!r}", flush=True)
    for run in runs:
        if run.model in known:
            run_version(run)


def _compute(found: Standing, prepared: Prepared, records: Records, limits: Limits) -> bool:
    """Compute one run and write the document anew; what a run raises must not keep the others from theirs."""
    run, key = found.run, found.key
    assert key is not None
    started = time.monotonic()
    print(f"{run.name}: begins", flush=True)
    try:
        record = execute(
            run,
            prepared,
            records,
            key=key,
            code=run_version(run),
            threads=limits.threads,
            deadline=limits.deadline,
        )
        write(records)
    except Stopped as stopped:
        print(stopped, flush=True)
        return True
    except Exception:  # noqa: BLE001 - anything that a model or a table under development raises
        FAILURES.mkdir(parents=True, exist_ok=True)
        (FAILURES / f"{key}.txt").write_text(f"{run.name}\n{traceback.format_exc()}", encoding="utf-8")
        print(f"{run.name}: failed, see {FAILURES / key}.txt", flush=True)
        return False
    shown = ", ".join(f"{name} {record.test[name]:.4f}" for name in prepared.dataset.metrics)
    seconds = time.monotonic() - started
    print(f"{run.name}: {shown}; {record.fit.epochs} epochs, {seconds:.0f} s", flush=True)
    return True


def _has_failed(key: str) -> bool:
    return (FAILURES / f"{key}.txt").exists()
