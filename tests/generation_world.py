"""A small catalogue, an engine that keeps count, and one call that generates: for tests of generation."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from featurestore.features import FeatureRegistry
from featurestore.jobs.committer import CommitPace
from featurestore.schema import INTERACTIONS, ITEMS, USERS
from featurestore.spec import table_name
from featurestore.splits import SplitPolicy, assign_parts, record_split
from featurestore.store import Store
from llm_jobs.chain import ChainLimits
from llm_jobs.due import DuePolicy
from llm_jobs.engine import Completion, Request
from llm_jobs.engines import OpenModel
from llm_jobs.engines.echo import EchoEngine, EchoOptions
from llm_jobs.generate import GenerateOptions, generate
from llm_jobs.generate_report import GenerateReport
from llm_jobs.models import find_model, model_spec
from llm_jobs.prompt import Prompt, load_prompt
from llm_jobs.runner import Runner
from llm_jobs.specs import stage_specs

PROMPTS = Path(__file__).resolve().parents[1] / "prompts"
STAGES = ("forward", "backward", "fused")
LENIENT = ChainLimits(skip_budget=1.0)


class CountingEngine(EchoEngine):
    """Keeps every request, and stops with Ctrl-C after a number of completions if it is told to."""

    def __init__(self, options: EchoOptions | None = None, *, stop_after: int | None = None) -> None:
        super().__init__(options)
        self.requests: list[Request] = []
        self.answered: set[str] = set()
        self._left = stop_after

    def submit(self, requests: Sequence[Request]) -> None:
        self.requests += requests
        super().submit(requests)

    def poll(self, timeout: float) -> list[Completion]:
        done = super().poll(timeout)
        if self._left is not None:
            if self._left <= 0:
                raise KeyboardInterrupt
            done, rest = done[: self._left], done[self._left :]
            for completion in rest:
                self._enqueue(0.0, completion)
            self._left -= len(done)
        self.answered.update(completion.key for completion in done)
        return done


@cache
def item_cot(fused_wording: str | None = None) -> Prompt:
    """The packaged prompt, with another fused question if one is given."""
    prompt = load_prompt(PROMPTS / "item_cot.toml")
    if fused_wording is None:
        return prompt
    fused = prompt.stages[2].model_copy(update={"template": fused_wording})
    return prompt.model_copy(update={"stages": (*prompt.stages[:2], fused)})


def put_items(store: Store, items: Mapping[str, Mapping[str, Any]]) -> None:
    """Make these the items of the store: id → fields."""
    rows = [{"item_id": item_id, **fields} for item_id, fields in items.items()]
    store.replace("source.items", pa.Table.from_pylist(rows, schema=ITEMS))


def put_events(store: Store, events: Sequence[tuple[str, str, int]], *users: str) -> str:
    """Make these the events of the store: (user, item, timestamp). Returns the event set of their train part.

    Args:
        store: Where.
        events: In any order.
        users: Users without events.
    """
    known = sorted({user for user, _, _ in events} | set(users))
    store.replace("source.users", pa.Table.from_pylist([{"user_id": user} for user in known], schema=USERS))
    frame = pl.DataFrame(list(events), schema=["user_id", "item_id", "timestamp"], orient="row")
    policy = SplitPolicy()
    parted = assign_parts(frame, policy)
    version = store.replace(
        "source.interactions", pa.Table.from_pylist(parted.to_dicts(), schema=INTERACTIONS)
    )
    return record_split(store, parted, policy, interactions_version=version.version).event_set()


def catalogue(size: int) -> dict[str, dict[str, Any]]:
    """Items ``i000``, ``i001``, … with titles of their own."""
    return {f"i{n:03d}": {"title": f"Kettle number {n}", "brand": "Acme", "price": 5.0} for n in range(size)}


def run(
    store: Store,
    folder: Path,
    engine: EchoEngine | None = None,
    prompt: Prompt | None = None,
    *,
    limit: int | None = None,
    where: str | None = None,
    only_failed: bool = False,
    due: DuePolicy | None = None,
    limits: ChainLimits = LENIENT,
    pace: CommitPace | None = None,
    runner: Runner | None = None,
) -> GenerateReport:
    """Generate with the echo model."""
    entry = find_model("echo", {})
    model = OpenModel(entry, model_spec(entry), engine or EchoEngine())
    options = GenerateOptions(
        limit=limit,
        where=where,
        only_failed=only_failed,
        due=due,
        limits=limits,
        pace=pace or CommitPace(),
    )
    return generate(store, prompt or item_cot(), model, options=options, work_folder=folder, runner=runner)


def table_of(view: str, prompt: Prompt) -> str:
    """The table of one stage of a prompt, run by the echo model."""
    entry = find_model("echo", {})
    specs = stage_specs(prompt, entry, model_spec(entry))
    return next(table_name(spec) for spec in specs if spec.view == view)


def rows_of(store: Store, view: str, feature: str = "item_cot") -> dict[str, dict[str, Any]]:
    """Rows of the head of a view by id; every id must be there once."""
    rows = store.read(FeatureRegistry(store).head("text", feature, view).table).to_pylist()
    by_id = {row["id"]: row for row in rows}
    assert len(by_id) == len(rows), "a row is doubled"
    return by_id
