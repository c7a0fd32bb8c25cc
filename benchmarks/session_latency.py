"""What a request costs that LLMGR answers without a language model, against the bare GC-SAN inside it.

Both are saved models of one size, asked for the 20 best of 12,101 items after one session, and after 64. The
gates of LLMGR's small model are closed into its item vectors when it is saved, so that both read a session by
the same network: the ratio says whether that is so. Weights are those of one epoch on random sessions: what a
pass costs does not depend on what was learned. Each side is a process of its own that loads its folder; the
record says which language-model packages the process of LLMGR had imported by then.
"""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

import common
import numpy as np
import torch
from common import Claim, compare, record
from measured_process import ALLOCATORS, MeasuredProcess

from featurestore.progress import no_progress
from recommender.data import Histories, IntArray, TrainingData, training_data
from recommender.features import EntityFeatures, NodeFeatures
from recommender.registry import find_model, parse_settings
from recommender.saved import Binding, SavedConfig, config_json, save_model
from recommender.session.teacher_lists import TeacherLists, TeacherOrigin, sessions_digest

NUM_ITEMS, TRAINED_ON, ASKED = 12_101, 2_000, 4_096
TEXT_DIM, TOP_K = 576, 50
MEAN_LENGTH, LONGEST = 7.0, 50
REQUESTS = {1: 400, 64: 40}
TARGET = 1 / 1.3


def run(allocator: str, pairs: int) -> None:
    """Measure and record."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sessions = _sessions(ASKED, seed=1)
        np.savez(folder / "sessions.npz", indptr=sessions.indptr, items=sessions.items)
        sides: list[MeasuredProcess] = []
        for model in ("llmgr", "gcsan"):
            _save(model, folder)
            asked = "our_session.py", folder / model, "--sessions", folder / "sessions.npz"
            sides.append(stack.enter_context(MeasuredProcess(*asked, allocator=allocator)))
        ours, theirs = sides
        claims = [
            _claim(ours, theirs, batch, quantile, pairs) for batch in REQUESTS for quantile in ("p50", "p99")
        ]
        imported = ours.measure(batch=1, requests=1)["language_models"]
    record(
        "session_latency",
        f"{NUM_ITEMS:,} items, d 64, sessions of {MEAN_LENGTH:g} clicks on average and {LONGEST} at most, "
        f"best 20 items, one thread, {allocator} allocator; {REQUESTS[1]} requests of one session or "
        f"{REQUESTS[64]} of 64 in a measurement, alternating pairs",
        claims,
        packages=("torch",),
        facts={
            "torch threads": 1,
            "language-model packages that the process of llmgr had imported": imported or "none",
        },
    )


def _claim(ours: MeasuredProcess, theirs: MeasuredProcess, batch: int, quantile: str, pairs: int) -> Claim:
    def milliseconds(side: MeasuredProcess) -> float:
        return 1000 * side.measure(batch=batch, requests=REQUESTS[batch])[quantile]

    return compare(
        f"llmgr, {batch} session{'s' if batch > 1 else ''} a request, {quantile}",
        peer="bare GC-SAN",
        unit="ms",
        ours=lambda: milliseconds(ours),
        theirs=lambda: milliseconds(theirs),
        higher_is_better=False,
        pairs=pairs,
        target=TARGET,
    )


def _save(name: str, folder: Path) -> None:
    """Train for an epoch, llmgr with texts and a teacher, and save."""
    data, settings = _training(), {"epochs": "1", "batch_size": "2048"}
    features = None
    if name == "llmgr":
        features = _texts()
        _teacher(data).save(folder / "teacher.safetensors")
        settings["teacher"] = str(folder / "teacher.safetensors")
    entry = find_model(name)
    config = parse_settings(entry.config_type, settings)
    model = entry.model_type(config)
    model.fit(data, features=features, seed=0, progress=no_progress)
    binding = Binding(
        release=1, release_digest="", num_users=data.num_users, num_items=NUM_ITEMS, user_ids="", item_ids=""
    )
    info = SavedConfig(model=name, config=config_json(config), seed=0, binding=binding, files={})
    save_model(folder / name, model, info)


def _training() -> TrainingData:
    sessions = _sessions(TRAINED_ON, seed=0)
    users, nothing = np.repeat(np.arange(TRAINED_ON), sessions.lengths), np.empty(0, np.int64)
    return training_data(
        num_users=TRAINED_ON, num_items=NUM_ITEMS, train=(users, sessions.items), valid=(nothing, nothing)
    )


def _sessions(count: int, *, seed: int) -> Histories:
    """Random clicks; lengths are geometric, as those of Beauty's users nearly are."""
    generator = np.random.default_rng(seed)
    lengths = np.minimum(2 + generator.geometric(1 / (MEAN_LENGTH - 1), count) - 1, LONGEST)
    clicks: IntArray = generator.integers(NUM_ITEMS, size=int(lengths.sum()))
    return Histories(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), clicks)


def _texts() -> NodeFeatures:
    matrix = np.random.default_rng(2).standard_normal((NUM_ITEMS, TEXT_DIM), dtype=np.float32)
    return NodeFeatures(EntityFeatures(matrix, np.ones(NUM_ITEMS, np.bool_)))


def _teacher(data: TrainingData) -> TeacherLists:
    generator = np.random.default_rng(3)
    items = np.stack([generator.choice(data.num_items, TOP_K, replace=False) for _ in range(data.num_users)])
    scores = generator.standard_normal((data.num_users, TOP_K), dtype=np.float32)
    origin = TeacherOrigin(sessions_digest(data.histories), release="1", split="", adapter="none")
    return TeacherLists(items, scores, origin)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--allocator", choices=[*ALLOCATORS], default="tuned")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--records", type=Path, default=common.RECORDS, help="Folder of the JSON record.")
    options = parser.parse_args()
    common.RECORDS = options.records
    torch.set_num_threads(1)
    run(options.allocator, options.pairs)
