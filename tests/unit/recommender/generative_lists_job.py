"""A process of its own that stores lists slowly, to be killed: ``generative_lists_job.py FOLDER``.

It prints whom it decodes, a line per batch.
"""

import sys
import time
from pathlib import Path

import numpy as np

from featurestore.reader import FeatureStore
from featurestore.stores import connect
from recommender.generative.job import write_lists


def lists(users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lists that tell whose they are, after a pause."""
    print(*users.tolist(), flush=True)
    time.sleep(0.05)
    items = (users[:, None] + np.arange(3)) % 16
    return items, (-items / 4).astype(np.float32)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    store = connect(str(folder / "store"))
    write_lists(
        store,
        lists,
        FeatureStore(store).release("1"),
        name="isrf",
        model_digest="0" * 32,
        top_k=3,
        logs=folder / "logs",
        batch_size=2,
    )
