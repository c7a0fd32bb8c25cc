"""State of a tuning job that can be stopped: what learns, AdamW's moments, buffers and the step.

Batches and dropout are functions of (seed, step), see `llm_jobs.tuning.config`, so that no generator has a
state to keep. The file is that of `recommender.checkpoint`, made durable: it reaches the disk before
it takes the place of the one before it. A resumed job computes on a CPU, to the bit, what it would have
computed without the stop.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError

from featurestore.jobs.lock import FeatureLock
from featurestore.objects import disk_error, disk_errors
from recommender.checkpoint import CheckpointFile, TrainingState, load_checkpoint, save_checkpoint


@dataclass(frozen=True, slots=True)
class TuningCheckpoint:
    """Where a job keeps its state.

    Attributes:
        file: A safetensors file, and the digest of everything that the job depends on.
        lock: The job's right to write it; None where nobody else can.
    """

    file: CheckpointFile
    lock: FeatureLock | None = None

    def load(self) -> TrainingState | None:
        """The state to go on from, its ``epoch`` the steps done; None if there is none.

        Raises:
            StoreError: If the file is damaged.
            UsageError: If it belongs to another job.
        """
        return load_checkpoint(self.file)

    def save(self, step: int, tensors: Mapping[str, torch.Tensor], losses: list[float]) -> None:
        """Make the state durable; the one before stays until then.

        Raises:
            LockHeldError: If another job has taken over: a job that slept writes nothing more.
            StorageFullError: If there is no room; the earlier state is still there.
        """
        if self.lock is not None:
            self.lock.check()
        path = self.file.path
        fresh = CheckpointFile(path.with_name(f"{path.name}.fresh"), self.file.identity)
        state = TrainingState(epoch=step, tensors=tensors, sampler={}, progress={"losses": losses})
        with disk_errors(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                save_checkpoint(fresh, state)
                _sync(fresh.path)
                fresh.path.replace(path)
            except SafetensorError as error:
                raise disk_error(error, str(path)) from error
            finally:
                fresh.discard()
            _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
