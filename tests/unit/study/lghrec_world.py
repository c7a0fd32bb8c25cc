"""Runs of LGHRec's study, and records of them made by hand."""

import numpy as np
from study_world import FACTS

from scripts.study.lghrec import minimum, queue
from scripts.study.records import Pairs, Records
from scripts.study.runs import Run

LASTFM = "colakg-lastfm"
GOOD, BAD = [0] * 30 + [50] * 10, [0] * 10 + [50] * 30
DECLARED = {run.name: run for run in [*minimum(), *queue()]}


def run_of(model: str, label: str, seed: int = 0) -> Run:
    return DECLARED[f"{LASTFM}/{model}/{label}/seed-{seed}"]


def with_rare_items(records: Records) -> None:
    """The first thirty test items have two training users each, the others fifty."""
    degrees = np.array([2] * 30 + [50] * 10)
    (records.folder / LASTFM / "dataset.json").unlink()
    records.describe(LASTFM, FACTS, Pairs(np.arange(40), degrees, np.full_like(degrees, 4)))
