"""A process of its own that tunes slowly, to be killed: ``tuning_job.py ENTRY CHECKPOINT``."""

import sys
import time
from pathlib import Path

from tuning_world import QUICK, toy_job

from llm_jobs.entries import EncoderEntry
from llm_jobs.tuning.checkpoint import TuningCheckpoint
from llm_jobs.tuning.loop import tune
from recommender.checkpoint import CheckpointFile


def slowly(done: int, total: int, note: str = "") -> None:
    """Leave time to be killed in."""
    time.sleep(0.2)


if __name__ == "__main__":
    model, objective = toy_job(EncoderEntry.model_validate_json(sys.argv[1]), QUICK)
    kept = TuningCheckpoint(CheckpointFile(Path(sys.argv[2]), "job"))
    tune(model, objective, QUICK, seed=1, checkpoint=kept, progress=slowly)
