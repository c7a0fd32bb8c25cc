"""A night in which 1 % of the items changed, against building everything anew.

Requests, GEMM work of the graphs, bytes written and seconds, stage by stage.

The items are those of amazon14-beauty; texts are written by the echo engine, so that seconds are those of the
product alone, and encoded by MiniLM: the hashing encoder gives many equal scores, and a list that ends among
equals is searched anew. Graphs: of the items by their own vectors, and of the users by the items they trained
on. The peer is a full build of a new store from the same night's files.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from common import Claim, record

from featurestore.codes.generations import SemanticIdOptions
from featurestore.gates.policy import GatePolicy
from featurestore.graphs import open_builder
from featurestore.graphs.build import build_graph
from featurestore.graphs.options import GraphOptions
from featurestore.ingest import IngestRequest
from featurestore.progress import Progress, RunProgress, no_progress, no_run_progress
from featurestore.refresh.pipeline import StageReport
from featurestore.splits import SplitPolicy
from featurestore.store import Store
from featurestore.stores import connect
from llm_jobs.catalog import find_prompt
from llm_jobs.due import DuePolicy
from llm_jobs.encoders import open_encoder
from llm_jobs.engines import open_model
from llm_jobs.generate import GenerateOptions
from llm_jobs.models import find_encoder, find_model
from llm_jobs.refresh import refresh
from llm_jobs.refresh_job import FeatureJob, RefreshJob, RefreshTools, ReleaseJob, TextJob

CHANGED_SHARE = 0.01
MOST_REQUESTS = 0.012
MOST_GEMM = 1.3
NUM_NEIGHBORS = 50
_FEATURE, _VIEW = "item_cot", "fused"


@dataclass
class Measured:
    """Seconds and new bytes of every stage. Implements `featurestore.refresh.pipeline.Watch`."""

    store: Store
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    written: dict[str, int] = field(default_factory=dict[str, int])
    facts: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])

    def __post_init__(self) -> None:
        self._known = set(self.store.objects.sizes(""))

    @contextmanager
    def progress(self, stage: str) -> Generator[Progress]:
        """Show nothing."""
        del stage
        yield no_progress

    @contextmanager
    def run_progress(self, stage: str) -> Generator[RunProgress]:
        """Show nothing."""
        del stage
        yield no_run_progress

    def finished(self, report: StageReport) -> None:
        """Keep what the stage took."""
        sizes = self.store.objects.sizes("")
        self.written[report.name] = sum(size for path, size in sizes.items() if path not in self._known)
        self._known |= set(sizes)
        self.seconds[report.name] = report.seconds
        self.facts[report.name] = report.facts


def run_night(folder: Path, files: Path, encoder: str) -> Measured:
    """Refresh the store of a folder from files, and build the graph of the items if it is not there yet."""
    store = connect(str(folder / "store"))
    watch = Measured(store)
    prompt, echo = find_prompt(_FEATURE, folder), find_model("echo", {})
    texts = TextJob(prompt, echo, GenerateOptions(due=DuePolicy()))
    job = RefreshJob(
        sources=IngestRequest(
            {"items": files / "items.parquet", "interactions": files / "interactions.parquet"},
            columns={"items": {"categories": "category_paths"}},
            split=SplitPolicy(method="official"),
        ),
        features=(FeatureJob(_FEATURE, texts, views=(_VIEW,), graphs=(_VIEW,)),),
        encoder=find_encoder(encoder, {}),
        graph=GraphOptions(num_neighbors=NUM_NEIGHBORS),
        semantic_ids=SemanticIdOptions(),
        release=ReleaseJob(gates=GatePolicy(max_duplicate_text_share=1.0, max_failure_rate=1.0)),
    )
    tools = RefreshTools(
        open_model=open_model,
        open_encoder=open_encoder,
        find_encoder=lambda alias: find_encoder(alias, {}),
        open_builder=lambda search: open_builder(search=search),
        work_folder=folder,
    )
    refresh(store, job, tools, watch=watch)
    return watch


def add_item_graph(folder: Path) -> tuple[float, int]:
    """Build the graph of the items; seconds and bytes. From then on every refresh keeps it current."""
    store = connect(str(folder / "store"))
    before, started = set(store.objects.sizes("")), time.perf_counter()
    build_graph(
        store,
        feature=_FEATURE,
        view=_VIEW,
        entity_users="own",
        num_neighbors=NUM_NEIGHBORS,
        builder=open_builder(),
    )
    took = time.perf_counter() - started
    return took, sum(size for path, size in store.objects.sizes("").items() if path not in before)


def write_files(data: Path, folder: Path, num_items: int | None, *, changed: bool) -> None:
    """Items and interactions of the data set, the first items only if a number is given.

    Args:
        data: Folder of the data set.
        folder: Made; gets the files.
        num_items: Items at most.
        changed: Whether 1 % of the items, drawn with a fixed seed, have another title.
    """
    folder.mkdir()
    items = pl.read_parquet(data / "items.parquet").head(num_items or 10**9)
    if changed:
        count = round(CHANGED_SHARE * items.height)
        drawn = items["item_id"].sample(count, seed=20240229).to_list()
        title = pl.when(pl.col("item_id").is_in(drawn)).then(pl.col("title") + ", new edition")
        items = items.with_columns(title.otherwise(pl.col("title")).alias("title"))
    items.write_parquet(folder / "items.parquet")
    events = pl.read_parquet(data / "interactions.parquet")
    events.join(items, on="item_id", how="semi").write_parquet(folder / "interactions.parquet")


def run(data: Path, num_items: int | None, encoder: str) -> None:
    """Measure and record."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_files(data, root / "first", num_items, changed=False)
        write_files(data, root / "second", num_items, changed=True)
        for folder in ("kept", "rebuilt"):
            (root / folder).mkdir()
        run_night(root / "kept", root / "first", encoder)
        add_item_graph(root / "kept")
        night = run_night(root / "kept", root / "second", encoder)
        idle = run_night(root / "kept", root / "second", encoder)
        full = run_night(root / "rebuilt", root / "second", encoder)
        own = f"graph.{_FEATURE}.{_VIEW}"
        full.seconds[own], full.written[own] = add_item_graph(root / "rebuilt")
        size = "all items" if num_items is None else f"the first {num_items:,} items"
        _record(night, idle, full, f"{size}, {encoder}")


def _record(night: Measured, idle: Measured, full: Measured, what: str) -> None:
    texts = f"texts.{_FEATURE}"
    share = night.facts[texts]["requests"] / full.facts[texts]["requests"]
    claims = [_times_less("item-feature requests", "requests", share, 1 / MOST_REQUESTS)]
    facts: dict[str, Any] = {"items": full.facts[texts]["num_entities"], "requests as a share": share}
    for stage, of in (("fused", "items"), ("fused-users", "users")):
        work = night.facts[f"graph.{_FEATURE}.{stage}"]["work"]
        nodes = work["num_full_rows"]
        changed = (work["num_changed"] + work["num_deleted"]) / nodes
        gemm, again = work["gemm_flops"] / work["full_gemm_flops"], work["num_recomputed"] / nodes
        ratio = changed / (gemm - again)
        claims.append(
            Claim(
                f"GEMM work of the graph of {of}, without rows recomputed",
                "the share of nodes that changed",
                "share of a full build",
                gemm - again,
                changed,
                ratio,
                (ratio,),
                1 / MOST_GEMM,
            )
        )
        facts |= {f"graph of {of}": {**work, "gemm share": gemm, "changed share": changed}}
    seconds, written = sum(night.seconds.values()), sum(night.written.values())
    claims.append(_times_less("seconds", "s", seconds / sum(full.seconds.values())))
    claims.append(_times_less("bytes written", "bytes", written / sum(full.written.values())))
    facts["stages"] = {
        stage: {
            "seconds": [round(each.seconds[stage], 2) for each in (night, full)],
            "bytes": [each.written[stage] for each in (night, full)],
        }
        for stage in night.seconds
    }
    facts["a night without changes, seconds"] = sum(idle.seconds.values())
    record(
        "refresh",
        f"amazon14-beauty, {what}, 1 % with a new title; echo engine, k = {NUM_NEIGHBORS}; "
        "each pair of numbers is (night, full build)",
        claims,
        packages=("lancedb", "pylance", "polars", "numpy"),
        facts=facts,
    )


def _times_less(name: str, unit: str, share: float, target: float | None = None) -> Claim:
    what = f"{name}, share of a full build"
    return Claim(what, "a full build", unit, share, 1.0, 1 / share, (1 / share,), target)


def _data_folder() -> Path:
    named = os.environ.get("FEATURESTORE_DATA")
    return Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=_data_folder() / "amazon14-beauty")
    parser.add_argument("--items", type=int, default=None, help="the first items only, for a trial")
    parser.add_argument("--encoder", default="minilm")
    arguments = parser.parse_args()
    run(arguments.data, arguments.items, arguments.encoder)
