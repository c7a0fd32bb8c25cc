"""Two jobs to be killed: a worker that writes a segment, and the committer that takes segments in."""

import warnings
from pathlib import Path
from typing import Any, Final

from featurestore.jobs.committer import CommitTarget, Committer
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.receipts import TableRow, read_receipts, write_segment
from featurestore.schema import TEXTS
from featurestore.spec import PlainTextSpec, table_name
from featurestore.stores import connect

# Jobs are forked from a server that loads this module; nothing of Lance runs in it, so its warnings of forks
# do not apply.
warnings.filterwarnings("ignore", message="lance.*fork")

SPEC: Final = PlainTextSpec(feature="f", view="text", entity="item", fields=("title",), template_digest="t")
TABLE: Final = table_name(SPEC)
ROWS_PER_SHARD: Final = 25


def rows_of_shard(run_id: str, shard: int, attempt: str) -> list[TableRow]:
    """What an attempt makes: its name is the text, so that two attempts can be told apart."""
    row: dict[str, Any] = {"status": "ok", "text": f"{run_id} {attempt}", "fingerprint": "f", "attempts": 1}
    return [(TABLE, row | {"id": f"i{shard}-{n}", "run_id": run_id}) for n in range(ROWS_PER_SHARD)]


def work_on_shard(folder: str, run_id: str, shard: int, attempt: str) -> None:
    """Write one attempt's segment and receipt."""
    rows = rows_of_shard(run_id, shard, attempt)
    write_segment(connect(f"{folder}/store").objects, run_id, str(shard), attempt, rows)


def commit_shards(folder: str, run_id: str) -> None:
    """Commit the shards of this run; of a run without any, recover what earlier ones left."""
    store = connect(f"{folder}/store")
    with (
        FeatureLock(store.objects, TABLE) as lock,
        Committer(
            store, [CommitTarget(SPEC, TEXTS, lock)], folder=Path(folder) / "logs", run_id=run_id
        ) as committer,
    ):
        receipts = read_receipts(store.objects, run_id)
        if not receipts:
            committer.recover()
        for receipt in receipts:
            committer.add_segment(receipt)
            committer.tick()
