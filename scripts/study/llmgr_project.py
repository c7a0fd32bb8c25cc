"""Tuning LLMGR's decoder on a data set: nodes of a trained base, stage by stage, and what small models read.

Everything lies in ``.cache/llmgr/<data set>-<digest>``, a copy of the study's project. ``tuning.json`` in it
says which stages are done, so that what was stopped goes on: training and tuning from their checkpoints,
vectors of titles where they stopped, lists from their beginning.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from featurestore.errors import SetupError
from featurestore.ids import digest
from featurestore.progress import Progress
from featurestore.reader import Release, open_store
from featurestore.store import Store
from featurestore.stores import connect
from llm_jobs.models import find_encoder
from llm_jobs.tuning.base_model import load_base
from llm_jobs.tuning.hybrid_input import load_hybrid_tokens
from llm_jobs.tuning.hybrid_weights import begin
from llm_jobs.tuning.llmgr_config import CONFIGS, LlmgrConfig, Stage
from llm_jobs.tuning.llmgr_examples import newest_examples
from llm_jobs.tuning.llmgr_job import Tuned, tune_llmgr
from llm_jobs.tuning.llmgr_lists import write_teacher
from llm_jobs.tuning.llmgr_sources import LlmgrSources, new_objective, read_llmgr
from llm_jobs.tuning.llmgr_titles import title_writer
from llm_jobs.tuning.loop import TuningReport
from llm_jobs.tuning.recmind_adapters import StoredSide
from recommender.data import load_training_data
from recommender.experiment import TrainRequest, train_models
from recommender.features import entity_features
from recommender.registry import parse_settings
from recommender.saved import CONFIG_FILE, SavedModel, load_model, read_config
from recommender.teacher_lists import TeacherLists, load_teacher
from scripts.study.datasets import ROOT, Dataset, data_digest, prepare
from scripts.study.llmgr_tunings import StageRecord, Tuning, TuningRecord, write_export

PROJECTS: Final = ROOT / ".cache" / "llmgr"
BASE: Final = "gcsan"
DECODER: Final = "smollm2-hidden"
_TOP_K: Final = 50
_STATE: Final = "tuning.json"
_FEW_STEPS: Final[Mapping[str, str]] = {
    # One pass over some hundred titles is some hundred steps of 8; the paper has thousands of 16.
    "batch_size": "8",
    "learning_rate": "0.0005",
    # Sessions and titles that are longer are cut: the time of a CPU goes with the tokens.
    "max_tokens": "64",
    "max_nodes": "20",
}
"""What is tuned with beside the defaults; nothing here was chosen by a result."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is tuned on.

    Attributes:
        minutes: Of processor time: titles that are learned from are as many as fit in these.
        prefixes: Sessions that are learned from.
        taught: Sessions that get a list.
        seed: Of everything random.
    """

    minutes: float
    prefixes: int
    taught: int
    seed: int = 0


def copied(dataset: Dataset, data: Path) -> Path:
    """The copy of a data set's project; made if there is none.

    Args:
        dataset: The data set.
        data: Folder of the evaluation data.

    Raises:
        InputError: If the data set's files are not there.
        SetupError: If it cannot be prepared.
    """
    project = PROJECTS / f"{dataset.name}-{data_digest(dataset, data)[:12]}"
    if project.exists():
        return project
    prepare(dataset, data)
    PROJECTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{dataset.name}-", dir=PROJECTS) as scratch:
        copy = Path(scratch) / dataset.name
        shutil.copytree(dataset.project, copy)
        copy.replace(project)
    return project


@dataclass(frozen=True)
class TuningProject:
    """A project whose release holds nodes.

    Attributes:
        dataset: The data set.
        data: Digest of its data.
        folder: Of the project.
        told: Hears of epochs, steps and texts.
    """

    dataset: Dataset
    data: str
    folder: Path
    told: Progress

    @cached_property
    def base(self) -> SavedModel:
        """The trained base model that x and Z are of."""
        place = self.folder / "models" / BASE
        if not (place / CONFIG_FILE).exists() or read_config(place).interrupted:
            wanted = TrainRequest(BASE, {"monitor": self.dataset.monitor}, resume=True)
            report = train_models(self._release("production"), wanted, place, progress=self.told)
            if report.interrupted:
                raise KeyboardInterrupt
        return load_model(place)

    @cached_property
    def release(self) -> Release:
        """The release that holds the base's vectors; made if there is none."""
        state = self.state()
        if "release" not in state:
            self._command("vectors", "--model", str(self.base.folder), "--name", BASE)
            self._command("publish")
            self.keep(release=self._release("production").number)
        return self._release(str(self.state()["release"]))

    @property
    def store(self) -> Store:
        """Its store."""
        return connect(str(self.folder / "store"))

    @property
    def texts(self) -> str:
        """The feature that titles are of."""
        assert self.dataset.item_feature is not None, f"{self.dataset.name} has no texts of items"
        return self.dataset.item_feature

    def state(self) -> dict[str, Any]:
        """What is done."""
        path = self.folder / _STATE
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def keep(self, **values: object) -> None:
        """Write down what was done."""
        fresh = self.folder / f"{_STATE}.fresh"
        fresh.write_text(json.dumps(self.state() | values, indent=1) + "\n", encoding="utf-8")
        fresh.replace(self.folder / _STATE)

    def publish(self) -> Release:
        """A release of what is in the store."""
        self._command("publish")
        return self._release("production")

    def _release(self, name: str) -> Release:
        return open_store(str(self.folder / "store")).release(name)

    def _command(self, *words: str) -> None:
        command = [sys.executable, "-m", "cli.main", *words, "--project", str(self.folder), "--json"]
        code = subprocess.run(command, stdout=subprocess.DEVNULL, cwd=ROOT, check=False).returncode
        if code:
            raise SetupError(
                f"`featurestore {' '.join(words)}` for {self.dataset.name} ended with exit code {code}.",
                hint="Its own message stands above; run again to go on from this command.",
            )


def tune(project: TuningProject, tuning: Tuning, extent: Extent) -> TuningRecord:
    """Tune all stages of a tuning, and export what small models read.

    Raises:
        SetupError: If a command fails, or the decoder is absent.
        KeyboardInterrupt: If a person stopped it; what is done stays.
    """
    titles = num_titles(project, extent)
    stages: list[StageRecord] = []
    if tuning.first is not None:
        wanted = {**tuning.first, "max_examples": str(titles)}
        then = title_writer(project.store, tuning.feature, project.told)
        stages.append(_Job(tuning.feature, "alignment", wanted, extent.seed).run(project, then))
    start = stages[-1].adapter if stages else None
    teacher = project.folder / "teachers" / f"{tuning.name}.safetensors"

    def lists(tuned: Tuned) -> tuple[StoredSide, ...]:
        stored = () if start else title_writer(project.store, tuning.feature, project.told)(tuned)
        write_teacher(tuned, teacher, top_k=_TOP_K, max_sessions=extent.taught, progress=project.told)
        return stored

    wanted = {**tuning.settings, "max_examples": str(extent.prefixes)}
    name = f"{tuning.feature}-{tuning.name}"
    job = _Job(name, tuning.second, wanted, extent.seed, start, extent.taught)
    stages.append(job.run(project, lists))
    return _exported(project, tuning, extent, tuple(stages), teacher)


def num_titles(project: TuningProject, extent: Extent) -> int:
    """How many titles fit in the minutes, by the pace of some; measured once for all tunings of a project."""
    state = project.state()
    if "titles" not in state:
        pace = _seconds_of_a_title(project, extent.seed)
        titles = max(int(60 * extent.minutes / pace), 2)
        project.keep(titles=titles, seconds_of_a_title=pace)
        print(f"{pace:.2f} CPU s a title: {titles:,} titles in {extent.minutes:g} minutes", flush=True)
    return int(project.state()["titles"])


def settings_of(stage: Stage, values: Mapping[str, str]) -> LlmgrConfig:
    """All settings of a stage."""
    config = parse_settings(CONFIGS[stage], {**_FEW_STEPS, **values})
    assert isinstance(config, LlmgrConfig)
    return config


def _seconds_of_a_title(project: TuningProject, seed: int) -> float:
    """Processor time of a title's step, the second batch of two."""
    import torch

    config = settings_of("alignment", {})
    found = read_llmgr(project.release, LlmgrSources(project.texts, BASE))
    base = load_base(find_encoder(DECODER, {}), config)
    tokens = load_hybrid_tokens(base.folder, base.spec)
    started = begin(base, torch.from_numpy(found.nodes), config, seed=seed)
    objective = new_objective(found, "alignment", tokens, started.ends, config, seed=seed)
    seconds = 0.0
    for batch in np.arange(4 * config.batch_size).reshape(2, -1):
        begun = time.process_time()
        objective.loss(started.model, batch).backward()
        seconds = (time.process_time() - begun) / len(batch)
    return seconds


@dataclass(frozen=True)
class _Job:
    """One stage of a tuning.

    Attributes:
        name: Of what is written.
        stage: Which.
        values: Settings, as text.
        seed: Of everything random.
        start: Digest of the adapter to begin at.
        taught: Sessions that get a list.
    """

    name: str
    stage: Stage
    values: Mapping[str, str]
    seed: int
    start: str | None = None
    taught: int = 0

    def run(self, project: TuningProject, then: Callable[[Tuned], tuple[StoredSide, ...]]) -> StageRecord:
        """Tune, or tell what it gave when it was tuned before."""
        facts = [self.name, self.stage, dict(self.values), self.seed, self.start, self.taught]
        key = digest([*facts, dict(_FEW_STEPS)])[:16]
        done = project.state().get(key)
        if done is not None:
            return StageRecord.model_validate(done)
        print(f"{self.name}: {self.stage} begins", flush=True)
        report = tune_llmgr(
            project.store,
            project.release,
            LlmgrSources(project.texts, BASE, self.name, project.base),
            stage=self.stage,
            entry=find_encoder(DECODER, {}),
            config=settings_of(self.stage, self.values),
            seed=self.seed,
            work_folder=project.folder / ".featurestore",
            then=then,
            start=self.start,
            progress=project.told,
        )
        assert report.tuning is not None
        record = _told(self.stage, report.adapter, report.num_examples, report.tuning)
        project.keep(**{key: record.model_dump(mode="json")})
        return record


def _told(stage: Stage, adapter: str, num_examples: int, report: TuningReport) -> StageRecord:
    tenth = max(len(report.losses) // 10, 1)
    return StageRecord(
        stage=stage,
        adapter=adapter,
        num_examples=num_examples,
        steps=report.steps,
        first_loss=float(np.mean(report.losses[:tenth])),
        last_loss=float(np.mean(report.losses[-tenth:])),
        seconds=report.seconds,
    )


def _exported(
    project: TuningProject, tuning: Tuning, extent: Extent, stages: tuple[StageRecord, ...], teacher: Path
) -> TuningRecord:
    release = project.publish()
    data = load_training_data(release)
    vectors = entity_features(release, "item", tuning.feature, view="item")
    lists = load_teacher(teacher, num_users=data.num_users, num_items=data.num_items)
    examples, rows = newest_examples(data.histories, 1)
    is_taught = lists.items[rows, 0] >= 0
    return TuningRecord(
        tuning=tuning,
        dataset=project.dataset.name,
        data=project.data,
        digest=write_export(vectors, lists, release),
        decoder=DECODER,
        seed=extent.seed,
        settings=dict(_FEW_STEPS),
        stages=stages,
        num_vectors=int(vectors.has_vector.sum()),
        num_taught=int(is_taught.sum()),
        top_k=_TOP_K,
        hit_rate=hit_rate(lists, rows[is_taught], examples.targets[is_taught]),
    )


def hit_rate(lists: TeacherLists, rows: np.ndarray, targets: np.ndarray) -> float:
    """Share of some sessions whose target is in their list; 0 of none."""
    hits = (lists.items[rows] == targets[:, None]).any(axis=1)
    return float(hits.mean()) if len(hits) else 0.0
