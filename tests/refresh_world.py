"""A small shop in files, and one call that refreshes its store: for tests of the nightly refresh."""

import random
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl
from generation_world import LENIENT, PROMPTS, CountingEngine, item_cot

from featurestore.codes.generations import SemanticIdOptions
from featurestore.gates.policy import GatePolicy
from featurestore.graphs import open_builder
from featurestore.graphs.options import GraphOptions
from featurestore.ingest import IngestRequest
from featurestore.progress import Progress, RunProgress, no_progress, no_run_progress
from featurestore.refresh.pipeline import StageReport
from featurestore.store import Store
from llm_jobs.due import DuePolicy
from llm_jobs.encoder import TextEncoder
from llm_jobs.encoders import open_encoder
from llm_jobs.engines import OpenModel
from llm_jobs.entries import ModelEntry
from llm_jobs.generate import GenerateOptions
from llm_jobs.models import find_encoder, find_model, model_spec
from llm_jobs.prompt import Prompt, load_prompt
from llm_jobs.refresh import RefreshReport, refresh
from llm_jobs.refresh_job import FeatureJob, RefreshJob, RefreshTools, ReleaseJob, TextJob
from llm_jobs.spending import Spending

GATES = GatePolicy(max_failure_rate=1.0, max_duplicate_text_share=1.0, max_lost_texts=1.0, max_knn_churn=1.0)
"""Small random shops repeat themselves, and lose half their items over night."""

Event = tuple[str, str, int]


@dataclass
class Shop:
    """What the files of tonight say."""

    titles: dict[str, str] = field(default_factory=dict[str, str])
    events: list[Event] = field(default_factory=list[Event])

    def write(self, folder: Path) -> IngestRequest:
        """Write tonight's files; one without rows is left out."""
        files = {}
        if self.titles:
            items = [{"item_id": item_id, "title": title} for item_id, title in self.titles.items()]
            files["items"] = folder / "items.parquet"
            pl.DataFrame(items).write_parquet(files["items"])
        if self.events:
            files["interactions"] = folder / "events.parquet"
            schema = ["user_id", "item_id", "timestamp"]
            pl.DataFrame(self.events, schema=schema, orient="row").write_parquet(files["interactions"])
        return IngestRequest(files)


def make_shop(num_items: int, num_users: int, events_per_user: int) -> Shop:
    """Items ``i000``, …, users ``u00``, …, each with some distinct items in a fixed random order."""
    draw = random.Random(20240229)
    titles = {f"i{n:03d}": f"Kettle number {n}" for n in range(num_items)}
    events = [
        (f"u{user:02d}", item, time)
        for user in range(num_users)
        for time, item in enumerate(draw.sample(sorted(titles), events_per_user))
    ]
    return Shop(titles, events)


class SilentWatch:
    """Shows nothing and keeps every report."""

    def __init__(self, at_end: Callable[[StageReport], None] | None = None) -> None:
        self.reports: list[StageReport] = []
        self._at_end = at_end

    @contextmanager
    def progress(self, stage: str) -> Generator[Progress]:
        yield no_progress

    @contextmanager
    def run_progress(self, stage: str) -> Generator[RunProgress]:
        yield no_run_progress

    def finished(self, report: StageReport) -> None:
        self.reports.append(report)
        if self._at_end is not None:
            self._at_end(report)


def user_cot() -> Prompt:
    return load_prompt(PROMPTS / "user_cot.toml")


def feature_job(prompt: Prompt, options: GenerateOptions, graphs: tuple[str, ...] = ("fused",)) -> FeatureJob:
    """A feature by the echo model, of which the fused texts are encoded."""
    texts = TextJob(prompt, find_model("echo", {}), replace(options, limits=LENIENT))
    return FeatureJob(prompt.name, texts, views=("fused",), graphs=graphs)


def items_and_users(policy: DuePolicy | None = None) -> tuple[FeatureJob, ...]:
    """Items with a graph of users, and users with a graph of their own."""
    return (
        feature_job(item_cot(), GenerateOptions(due=DuePolicy())),
        feature_job(user_cot(), GenerateOptions(due=policy or DuePolicy())),
    )


@dataclass
class Night:
    """What a refresh did, and all that it asked."""

    report: RefreshReport
    engine: CountingEngine
    encoded: list[str]

    @property
    def statuses(self) -> Mapping[str, str]:
        """Stage → what became of it."""
        return {stage.name: stage.status for stage in self.report.stages}

    def facts(self, stage: str) -> Mapping[str, object]:
        """What a stage reported."""
        return next(each.facts for each in self.report.stages if each.name == stage)


def run_night(
    store: Store,
    folder: Path,
    shop: Shop | None,
    features: tuple[FeatureJob, ...] | None = None,
    *,
    engine: CountingEngine | None = None,
    watch: SilentWatch | None = None,
    told: Callable[[RefreshReport], None] | None = None,
    spending: Spending | None = None,
    **release: object,
) -> Night:
    """Refresh with the echo engine, the hashing encoder and the usual graph builder."""
    engine, encoded = engine or CountingEngine(), list[str]()

    @contextmanager
    def open_model(entry: ModelEntry) -> Generator[OpenModel]:
        yield OpenModel(entry, model_spec(entry), engine)

    job = RefreshJob(
        sources=shop.write(folder) if shop is not None else None,
        features=features or items_and_users(),
        encoder=find_encoder("hashing", {}),
        graph=GraphOptions(num_neighbors=3),
        semantic_ids=SemanticIdOptions(num_levels=2, codebook_size=2),
        release=ReleaseJob(**{"gates": GATES, **release}),
        spending=spending,
    )
    tools = RefreshTools(
        open_model=open_model,
        open_encoder=lambda entry: _Listening(open_encoder(entry), encoded),
        find_encoder=lambda alias: find_encoder(alias, {}),
        open_builder=lambda search: open_builder(search=search),
        work_folder=folder,
    )
    return Night(refresh(store, job, tools, watch=watch or SilentWatch(), told=told), engine, encoded)


class _Listening:
    """An encoder that keeps every text it is given."""

    def __init__(self, encoder: TextEncoder, encoded: list[str]) -> None:
        self.spec = encoder.spec
        self._encoder = encoder
        self._encoded = encoded

    def encode(self, texts):
        self._encoded += texts
        return self._encoder.encode(texts)

    def close(self) -> None:
        self._encoder.close()
