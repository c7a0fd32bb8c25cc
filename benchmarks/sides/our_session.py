"""A saved model of sessions, asked for the 20 best items of some sessions, one request after the other."""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from serving import Measure, serve

from recommender.data import Histories
from recommender.evaluate import top_lists
from recommender.saved import load_model
from recommender.sequence.model import SequenceModel

LANGUAGE_MODELS = (
    "transformers",
    "vllm",
    "peft",
    "openai",
    "ray",
    "llm_jobs",
    "sentence_transformers",
    "tokenizers",
)
TOP_K = 20


def prepare(folder: Path, sessions: Path) -> Measure:
    """Load the model, and what is asked about."""
    torch.set_num_threads(1)
    saved = load_model(folder).model
    assert isinstance(saved, SequenceModel)
    with np.load(sessions, allow_pickle=False) as opened:
        model = saved.with_histories(Histories(opened["indptr"], opened["items"]))
        count = len(opened["indptr"]) - 1

    def measure(batch: int, requests: int) -> Mapping[str, Any]:
        seconds = np.empty(requests)
        for number in range(requests):
            rows = (np.arange(batch) + number * batch) % count
            start = time.perf_counter()
            top_lists(torch.from_numpy(model.score(rows)), TOP_K)
            seconds[number] = time.perf_counter() - start
        p50, p99 = np.percentile(seconds, [50, 99])
        loaded = [name for name in LANGUAGE_MODELS if name in sys.modules]
        return {"p50": float(p50), "p99": float(p99), "language_models": loaded}

    return measure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sessions", type=Path, required=True)
    options = parser.parse_args()
    serve(lambda: prepare(options.folder, options.sessions))
