"""A job on a disk that is really full ends with its own error, and goes on when there is room again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_MOUNT = 'mount -t tmpfs -o size=24m none "$0" && exec "$@"'
_JOB = """
import os, sys
from pathlib import Path
from generation_world import STAGES, CountingEngine, catalogue, item_cot, put_items, rows_of, run, table_of
from featurestore.errors import StorageFullError
from featurestore.jobs.committer import CommitPace
from featurestore.stores import connect
from llm_jobs.engines.echo import EchoOptions

folder = Path(sys.argv[1])
store = connect(str(folder / "store"))
put_items(store, catalogue(200))
ballast = folder / "ballast"
free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
ballast.write_bytes(bytes(free - int(sys.argv[2])))
pace = CommitPace(flush_seconds=0.01, commit_seconds=0.02)
first = CountingEngine(EchoOptions(latency_seconds=0.01, concurrency=8))
try:
    run(store, folder / "work", first, pace=pace)
    sys.exit("the disk was not full")
except StorageFullError as error:
    print(error)
ballast.unlink()
latest = [store.latest(table_of(stage, item_cot())) for stage in STAGES]
stored = sum(version.num_rows for version in latest if version)
second = CountingEngine(EchoOptions(concurrency=8))
report = run(store, folder / "work", second, pace=pace)
for stage in STAGES:
    rows = rows_of(store, stage)
    assert sorted(rows) == sorted(catalogue(200)), stage
    assert {row["status"] for row in rows.values()} == {"ok"}
left = [str(path) for path in folder.rglob("*") if path.suffix == ".log" or ".partial-" in path.name]
assert not left, left
print(f"stored {stored}, recovered {report.recovered}, asked {len(first.requests)}, {len(second.requests)}")
assert stored + report.recovered > 0
assert len(second.requests) < 600
"""


@pytest.mark.parametrize("room", [600_000, 1_500_000])
def test_a_full_disk_loses_nothing_that_was_flushed(tmp_path: Path, room: int) -> None:
    tests = str(Path(__file__).parents[1])
    command = ["unshare", "--map-root-user", "--mount", "bash", "-c", _MOUNT, str(tmp_path)]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow to mount a small file system of one's own")
    ran = subprocess.run(
        [*command, sys.executable, "-c", _JOB, str(tmp_path), str(room)],
        env={**os.environ, "PYTHONPATH": tests},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "no space left" in ran.stdout
