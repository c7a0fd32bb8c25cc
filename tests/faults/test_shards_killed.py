"""Workers and the committer of a sharded run are killed at random moments: every row arrives once."""

import multiprocessing
import random
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
from shard_jobs import ROWS_PER_SHARD, TABLE, commit_shards, work_on_shard

from featurestore.jobs.receipts import read_receipts
from featurestore.store import Store
from featurestore.stores import connect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_ROUNDS = 6
_SHARDS = 4
_LONGEST_WORK = 0.03
_LONGEST_COMMIT = 0.15


def test_killed_workers_and_committers_deliver_every_row_once(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["shard_jobs", "lancedb", "lance"])
    store = connect(str(tmp_path / "store"))
    worker_kills = committer_kills = 0
    for number in range(_ROUNDS):
        run_id = f"r{number:03d}"
        for shard in range(_SHARDS):
            worker_kills += _work(context, tmp_path, store, run_id, shard, draw)
        winners = {receipt.shard_id: receipt.attempt for receipt in read_receipts(store.objects, run_id)}
        for committer in (run_id, f"{run_id}-2"):
            seconds = draw.uniform(0, _LONGEST_COMMIT)
            committer_kills += _killed(context, commit_shards, seconds, str(tmp_path), committer)
        _run(context, commit_shards, str(tmp_path), f"{run_id}-3")
        _check(store, run_id, winners)
        assert not [path for path in tmp_path.rglob("*") if path.suffix == ".log"]
        assert store.objects.list("segments/") == []
    assert worker_kills >= 6
    assert committer_kills >= 4


def _work(
    context: ForkServerContext, folder: Path, store: Store, run_id: str, shard: int, draw: random.Random
) -> int:
    """Attempt a shard until it has its receipt. How many attempts were killed."""
    kills = attempt = 0
    while not any(receipt.shard_id == str(shard) for receipt in read_receipts(store.objects, run_id)):
        attempt += 1
        seconds = draw.uniform(0, _LONGEST_WORK) if attempt < 4 else 30.0
        kills += _killed(context, work_on_shard, seconds, str(folder), run_id, shard, f"a{attempt}")
    _run(context, work_on_shard, str(folder), run_id, shard, "late")
    return kills


def _killed(context: ForkServerContext, job: Any, seconds: float, *arguments: Any) -> bool:
    process = context.Process(target=job, args=arguments)
    process.start()
    process.join(seconds)
    was_alive = process.is_alive()
    process.kill()
    process.join()
    assert was_alive or process.exitcode == 0
    return was_alive


def _run(context: ForkServerContext, job: Any, *arguments: Any) -> None:
    assert not _killed(context, job, 60.0, *arguments)


def _check(store: Store, run_id: str, winners: dict[str, str]) -> None:
    rows = store.read(TABLE).to_pylist()
    assert len(rows) == len({row["id"] for row in rows}) == _SHARDS * ROWS_PER_SHARD
    for row in rows:
        shard = row["id"].removeprefix("i").partition("-")[0]
        assert row["text"] == f"{run_id} {winners[shard]}"
