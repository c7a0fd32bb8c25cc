"""The job that stores lists, killed with SIGKILL: every user has one list, what was flushed stays done."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_store import fill

from featurestore.reader import FeatureStore
from featurestore.stores import connect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_JOB = Path(__file__).with_name("generative_lists_job.py")
_KILLS = 4


def _killed(folder: Path, num_lines: int) -> list[list[str]]:
    """The batches that a job began with, which is killed in the middle of that one, or after it."""
    with subprocess.Popen([sys.executable, _JOB, folder], stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        lines = [job.stdout.readline() for _ in range(num_lines)]
        job.kill()
        return [line.split() for line in (*lines, *job.stdout)]


def test_kill_9_between_and_within_batches(tmp_path: Path, seed: int) -> None:
    store, draw = connect(str(tmp_path / "store")), random.Random(seed)
    fill(store, tmp_path)
    flushed: list[str] = []
    for _ in range(_KILLS):
        begun = _killed(tmp_path, draw.randint(1, 4))
        flushed += [user for batch in begun[:-1] for user in batch]
        assert not [table for table in store.tables() if table.startswith("recommendations.")]
    done = subprocess.run([sys.executable, _JOB, tmp_path], capture_output=True, text=True, check=True)
    flushed += done.stdout.split()
    assert len(flushed) == len(set(flushed))
    release = FeatureStore(store).release("1")
    users, items = release.id_map("user"), release.id_map("item")
    [table] = [table for table in store.tables() if table.startswith("recommendations.")]
    rows = store.read(table).to_pylist()
    found = {(row["user_id"], row["rank"]): row["item_id"] for row in rows}
    assert len(found) == len(rows) == 3 * len(users)
    for row, user in enumerate(users.ids):
        assert [found[user, rank] for rank in range(3)] == items.ids_of((row + np.arange(3)) % 16)
    assert not list((tmp_path / "logs").glob("*/*.log"))
