"""Tuning LLMGR's decoder on a data set, stage by stage, and what small models read of it.

What was stopped goes on: tuning from its checkpoint, vectors of titles where they stopped, lists from their
beginning.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from featurestore.ids import digest
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
from recommender.features import entity_features
from recommender.registry import parse_settings
from recommender.session.teacher_lists import TeacherLists, load_teacher
from scripts.study.llmgr_project import BASE, TuningProject
from scripts.study.llmgr_tunings import StageRecord, Tuning, TuningRecord, write_export

DECODER: Final = "smollm2-hidden"
_TOP_K: Final = 50
_FEW_STEPS: Final[Mapping[str, str]] = {
    # One pass over some hundred titles is some hundred steps of 8; the paper has thousands of 16.
    "batch_size": "8",
    "learning_rate": "0.0002",
    "head_learning_rate": "0.0002",
    # An item is the answer to one title or to none, so that a row of its own learns next to nothing.
    "first_output": "probe",
    "num_measured": "1024",
    # Sessions and titles that are longer are cut: the time of a CPU goes with the tokens.
    "max_tokens": "64",
    "max_nodes": "12",
}
"""What is tuned with beside the defaults. Step sizes and the first W_o were chosen by the loss of some forty
training steps; no figure of a validation or test part was looked at."""


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


def settings_of(stage: Stage, values: Mapping[str, str], *, is_begun: bool = False) -> LlmgrConfig:
    """All settings of a stage; one that begins at an adapter goes on with what its W_o has learned."""
    given = {name: value for name, value in _FEW_STEPS.items() if not is_begun or name != "first_output"}
    config = parse_settings(CONFIGS[stage], {**given, **values})
    assert isinstance(config, LlmgrConfig)
    return config


def _seconds_of_a_title(project: TuningProject, seed: int) -> float:
    """Processor time of a title's step, the second batch of two."""
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
            config=settings_of(self.stage, self.values, is_begun=self.start is not None),
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
    lists = load_teacher(teacher, data)
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
