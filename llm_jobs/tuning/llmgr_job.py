"""LLMGR (arXiv 2402.16539): a decoder as the semantic engine of session graphs, tuned in two stages.

    stage 1    which of some nodes a title is of; then t_v of every item, h of its title's prompt
    stage 2    what comes next in a session; then what `llm_jobs.tuning.llmgr_lists` makes of sessions

Stage 1 is tuned once: t_v is a vector feature like any other, which every model of sessions may read
(`recommender.models.llmgr`), and stage 2 of any base begins at its adapter. Where the base's nodes are not
those of stage 1, the adapter and W_o are taken, and W_p and W_g are new: our reconstruction. x and Z are
frozen in both stages.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from featurestore import columns as c
from featurestore.adapters import Adapter, AdapterOrigin, load_adapter
from featurestore.features import FeatureRegistry
from featurestore.ids import digest
from featurestore.jobs.lock import FeatureLock
from featurestore.names import require_name
from featurestore.point_in_time import joined_event_set
from featurestore.progress import Progress, no_progress
from featurestore.reader import Release
from featurestore.store import Store
from featurestore.version import product_version
from llm_jobs.entries import EncoderEntry
from llm_jobs.tuning.base_model import BaseModel, load_base
from llm_jobs.tuning.checkpoint import TuningCheckpoint
from llm_jobs.tuning.config import tuning_device
from llm_jobs.tuning.hybrid_input import HybridTokens, load_hybrid_tokens
from llm_jobs.tuning.hybrid_weights import Start, begin, hybrid_files
from llm_jobs.tuning.llmgr_config import LlmgrConfig, Stage, check_stage
from llm_jobs.tuning.llmgr_objective import measure_states
from llm_jobs.tuning.llmgr_sources import LlmgrData, LlmgrSources, new_objective, read_llmgr
from llm_jobs.tuning.loop import TuningReport, tune
from llm_jobs.tuning.recmind_adapters import StoredSide
from recommender.checkpoint import CheckpointFile

JOB = "llmgr"


@dataclass(frozen=True)
class Tuned:
    """What a stage left, ready to read prompts.

    Attributes:
        tokens: Makes inputs of prompts.
        start: Decoder and ends, tuned.
        adapter: As it lies in the store.
        found: What was learned from.
        config: Settings.
    """

    tokens: HybridTokens
    start: Start
    adapter: Adapter
    found: LlmgrData
    config: LlmgrConfig


@dataclass(frozen=True, slots=True)
class LlmgrReport:
    """What a stage did.

    Attributes:
        stage: Which.
        adapter: Digest of the adapter.
        tuning: What the loop did; None where nothing was tuned.
        num_examples: Titles and sessions that were learned from.
        stored: Vectors t_v, after a stage that has titles.
    """

    stage: Stage
    adapter: str
    tuning: TuningReport | None
    num_examples: int
    stored: tuple[StoredSide, ...] = ()


def tune_llmgr(
    store: Store,
    release: Release,
    sources: LlmgrSources,
    *,
    stage: Stage,
    entry: EncoderEntry,
    config: LlmgrConfig,
    seed: int,
    work_folder: Path,
    then: Callable[[Tuned], tuple[StoredSide, ...]],
    start: str | None = None,
    progress: Progress = no_progress,
) -> LlmgrReport:
    """Tune one stage, and store its adapter.

    A job that was stopped goes on from its last checkpoint when it is called again with the same arguments.

    Args:
        store: The release's store.
        release: An opened release.
        sources: Titles, vectors, base model, and the name of the result.
        stage: Which.
        entry: The base model: a decoder that is pooled at its last token.
        config: Settings.
        seed: Of everything that is drawn.
        work_folder: Where checkpoints are kept.
        then: Makes what is wanted of the tuned decoder, before its checkpoint goes; gives what it stored.
        start: First characters of the digest of the adapter to begin at; None begins anew.
        progress: Told about steps.

    Raises:
        UnknownNameError: If the release has no such text or vector feature, the store no such adapter, or the
            base no such target module.
        UsageError: If the name cannot be one or is of a model's own vectors, a setting is of what the stage
            does not read, a feature describes users, the base cannot be tuned, or the adapter fits neither
            settings nor catalogue.
        InputError: If there is nothing to learn from, or a prompt is too long.
        LeakError: If texts or vectors read held-out events, or the adapter those of another split.
        EmbeddingSpaceError: If x is not of the base model of sessions, or the adapter of another decoder.
        SetupError: If peft, weights or a GPU are absent.
        LockHeldError: If another job tunes the same name.
        StorageFullError: If there is no room.
    """
    require_name(sources.name, "a feature")
    if stage != "behaviour":
        FeatureRegistry(store).require_origin("encoder", sources.name, ["item"])
    check_stage(stage, config, is_begun=start is not None)
    found = read_llmgr(release, sources)
    before = None if start is None else load_adapter(store.objects, start)
    event_set = joined_event_set(_events_read(found, release, stage, before))
    with FeatureLock(store.objects, f"tuning.{sources.name}") as lock:
        base = load_base(entry, config)
        tokens = load_hybrid_tokens(base.folder, base.spec)
        begun = _begin(base, found, config, seed, before)
        objective = new_objective(found, stage, tokens, begun.ends, config, seed=seed)
        measure_states(begun.model, objective, config, torch.from_numpy(found.nodes))
        file = _checkpoint_file(
            work_folder, sources.name, found, [base.identity, stage, config.result_settings, seed, start]
        )
        report = tune(
            begun.model,
            objective,
            config,
            seed=seed,
            checkpoint=TuningCheckpoint(file, lock),
            progress=progress,
        )
        side = found.side
        adapter = Adapter(
            hybrid_files(begun.model, begun.ends, config),
            AdapterOrigin(
                job=f"{JOB}.{stage}",
                base=base.spec,
                settings={
                    **config.result_settings,
                    "stage": stage,
                    "start": None if before is None else before.digest,
                },
                seed=seed,
                release=release.number,
                texts={"item": side.texts.spec.digest},
                vectors={"item": side.vectors.spec.digest},
                event_set=event_set,
                num_examples=objective.num_examples,
            ),
        )
        lock.check()
        adapter.save(store.objects)
        stored = then(Tuned(tokens, begun, adapter, found, config))
        file.discard()
    return LlmgrReport(stage, adapter.digest, report, objective.num_examples, stored)


def _begin(
    base: BaseModel, found: LlmgrData, config: LlmgrConfig, seed: int, before: Adapter | None
) -> Start:
    nodes = torch.from_numpy(found.nodes).to(tuning_device(config))
    same = before is not None and before.origin.vectors.get("item") == found.side.vectors.spec.digest
    return begin(base, nodes, config, seed=seed, adapter=before, same_nodes=same)


def _events_read(found: LlmgrData, release: Release, stage: Stage, before: Adapter | None) -> set[str]:
    """Titles, x and the adapter that is begun at read what they read; sessions are the training part."""
    events = set(found.side.event_sets)
    if before is not None and before.origin.event_set is not None:
        events.add(before.origin.event_set)
    if stage != "alignment" and release.manifest.split is not None:
        events.add(release.manifest.split.event_set(c.TRAIN))
    return events


def _checkpoint_file(work_folder: Path, name: str, found: LlmgrData, facts: list[object]) -> CheckpointFile:
    """Where the state of exactly this job is kept: another job has another file."""
    base = None if found.base is None else digest(found.base.info.model_dump(mode="json"))
    identity = digest([*facts, base, found.identity, product_version()])
    return CheckpointFile(work_folder / "tuning" / f"{name}-{identity[:16]}.safetensors", identity)
