"""Nights of a small shop: some items change, some are new, their texts follow, a release is published.

What the store takes is measured after each night, against the bound of docs/exactly-once.md.
"""

import math
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
from generation_world import run, table_of

from featurestore.gates.policy import GatePolicy
from featurestore.jobs.answers import ANSWERS_TABLE
from featurestore.jobs.committer import CommitTarget
from featurestore.jobs.compaction import CompactionPolicy, compact_after_run
from featurestore.jobs.lock import FeatureLock
from featurestore.releases.publish import publish
from featurestore.schema import ITEMS, TEXTS
from featurestore.spec import table_name
from featurestore.store import Store
from featurestore.stores import connect
from featurestore.stores.lance_compaction import MIN_MERGED_FRAGMENTS
from llm_jobs.models import find_model, model_spec
from llm_jobs.prompt import Prompt
from llm_jobs.specs import stage_specs

CHANGED_SHARE = 0.01
NEW_SHARE = 0.005
POLICY = CompactionPolicy(grace=timedelta(0), unused_answers=200)
"""The nights are simulated and follow each other at once, so no version is spared for its age."""

BYTES_PER_VERSION = 90_000
"""Manifest and transaction of a version that is kept: 33 kB each, whatever it changed; the rest is slack."""
FILES_PER_VERSION = 8
FILES_PER_TABLE = 40
"""Of a table that has just not been merged yet, and of its lock."""
OBJECT_BYTES_PER_NIGHT = 20_000
OBJECTS_PER_NIGHT = 4
"""A manifest, a move of the alias, a run card, and what the first night makes once."""


@dataclass(frozen=True, slots=True)
class Night:
    """What one night did, and what texts, answer cache and objects took after it.

    Attributes:
        number: From 0, the night that makes every text.
        num_rows: Live text rows, over all stages.
        num_written: Text rows written that night.
        num_bytes: On disk.
        num_files: On disk.
        most_bytes: The bound.
        most_files: The bound.
    """

    number: int
    num_rows: int
    num_written: int
    num_bytes: int
    num_files: int
    most_bytes: int
    most_files: int


@dataclass(frozen=True, slots=True)
class GrowthBound:
    """The bound of docs/exactly-once.md.

    Attributes:
        num_stages: Text tables.
        bytes_per_row: Of one text row, b.
        bytes_per_answer: Of one cached answer, a.
    """

    num_stages: int
    bytes_per_row: float
    bytes_per_answer: float

    def most_bytes(self, num_rows: int, num_written: int, nights: int, per_night: float) -> int:
        """Bytes at most.

        Args:
            num_rows: Live rows, R.
            num_written: Rows that the nights after the first have written, W.
            nights: Releases kept, V.
            per_night: Rows that a usual night writes, w.
        """
        times = 1 + math.ceil(math.log2(max(2.0, num_rows / per_night)))
        rows = self.bytes_per_row * (2 * num_rows + times * num_written)
        answers = 2 * self.bytes_per_answer * (num_rows + num_written + POLICY.unused_answers)
        versions = BYTES_PER_VERSION * (self.num_stages * (nights + 1) + MIN_MERGED_FRAGMENTS + 1)
        return int(rows + answers + versions + OBJECT_BYTES_PER_NIGHT * nights)

    def most_files(self, nights: int) -> int:
        """Files at most."""
        versions = FILES_PER_VERSION * self.num_stages * (nights + 1)
        return versions + FILES_PER_TABLE * (self.num_stages + 1) + OBJECTS_PER_NIGHT * nights


def simulate_nights(folder: Path, prompt: Prompt, *, num_items: int, num_nights: int) -> Iterator[Night]:
    """Run night after night with the echo engine.

    Args:
        folder: Empty; gets the store.
        prompt: An item prompt.
        num_items: Items of the first night.
        num_nights: The first included.
    """
    store = connect(str(folder / "store"))
    tables = [table_of(stage.name, prompt) for stage in prompt.stages]
    draw, titles, written = random.Random(0), dict[str, str](), 0
    bound = GrowthBound(len(tables), 0.0, 0.0)
    for number in range(num_nights):
        changed = _changes(draw, titles, number, num_items)
        titles |= changed
        _ingest(store, changed)
        run(store, folder / "work", prompt=prompt)
        compact_now(store, prompt)
        publish(store, gates=GatePolicy(min_coverage=0.0))
        num_rows = len(tables) * len(titles)
        if number == 0:
            bound = GrowthBound(len(tables), *_bytes_per_row(store, tables, num_rows))
        else:
            written += len(tables) * len(changed)
        sizes = [size for path, size in store.objects.sizes("").items() if "/source." not in path]
        yield Night(
            number=number,
            num_rows=num_rows,
            num_written=len(tables) * len(changed),
            num_bytes=sum(sizes),
            num_files=len(sizes),
            most_bytes=bound.most_bytes(num_rows, written, number + 1, _share_of(num_rows)),
            most_files=bound.most_files(number + 1),
        )


def _share_of(count: int) -> float:
    return (CHANGED_SHARE + NEW_SHARE) * count


def _changes(draw: random.Random, titles: dict[str, str], night: int, num_items: int) -> dict[str, str]:
    if night == 0:
        return {f"i{n}": f"Kettle number {n}" for n in range(num_items)}
    changed = draw.sample(sorted(titles), round(CHANGED_SHARE * len(titles)))
    new = [f"i{len(titles) + n}" for n in range(round(NEW_SHARE * len(titles)))]
    return {item_id: f"Kettle {item_id} of night {night}" for item_id in (*changed, *new)}


def _ingest(store: Store, titles: dict[str, str]) -> None:
    rows = [{"item_id": item_id, "title": title, "price": 5.0} for item_id, title in titles.items()]
    store.upsert("source.items", pa.Table.from_pylist(rows, schema=ITEMS), key="item_id")


def compact_now(store: Store, prompt: Prompt) -> None:
    """Compact a prompt's tables as after a run, sparing no version for its age."""
    entry = find_model("echo", {})
    with ExitStack() as stack:
        targets = [
            CommitTarget(spec, TEXTS, stack.enter_context(FeatureLock(store.objects, table_name(spec))))
            for spec in stage_specs(prompt, entry, model_spec(entry))
        ]
        compact_after_run(store, targets, POLICY)


def _bytes_per_row(store: Store, tables: list[str], num_rows: int) -> tuple[float, float]:
    """Of a text row and of a cached answer, as the first night stored them."""

    def data_bytes(table: str) -> int:
        return sum(store.objects.sizes(f"tables/{table}.lance/data/").values())

    return sum(map(data_bytes, tables)) / num_rows, data_bytes(ANSWERS_TABLE) / num_rows
