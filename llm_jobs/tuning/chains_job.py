"""LGHRec's mixed fine-tuning (arXiv 2505.12396) as an offline job: a student learns a teacher's chains.

Recommendation chains of a release, mixed with general instructions so that the student keeps what it
could, tune a LoRA adapter. The adapter is an artefact of the store with a name: ``generate --model NAME``
writes with it. Before and after are measured on what is held out: form and quotes of answers (task), loss of
general texts (forgetting). The paper tells of the mixture and nothing else; all settings are our
reconstruction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from featurestore.adapters import Adapter, AdapterOrigin
from featurestore.ids import digest
from featurestore.jobs.lock import FeatureLock
from featurestore.progress import Progress, no_progress
from featurestore.reader import Release
from featurestore.store import Store
from featurestore.tuned_models import TunedModel, save_tuned
from featurestore.version import product_version
from llm_jobs.entries import ModelEntry
from llm_jobs.tuned_models import check_tuned_name
from llm_jobs.tuning.aligned_texts import joined_event_set
from llm_jobs.tuning.answer_loss import AnswerObjective
from llm_jobs.tuning.chain_examples import ChainSet
from llm_jobs.tuning.chains_config import ChainsConfig
from llm_jobs.tuning.checkpoint import TuningCheckpoint
from llm_jobs.tuning.general_set import Instruction
from llm_jobs.tuning.loop import TuningReport, tune
from llm_jobs.tuning.lora import adapter_files, attach_adapter, require_peft
from llm_jobs.tuning.mixture import Mixture, mix
from llm_jobs.tuning.standing import Standing, kept_standing, measure_standing
from llm_jobs.tuning.writer import AdaptedWriter, Writer, load_writer
from recommender.checkpoint import CheckpointFile

JOB = "chains"


@dataclass(frozen=True)
class ChainsSources:
    """What the job reads and how its result is called.

    Attributes:
        chains: See `llm_jobs.tuning.chain_examples.read_chains`.
        instructions: See `llm_jobs.tuning.general_set.read_instructions`; empty without a file.
        name: Of the tuned model.
    """

    chains: ChainSet
    instructions: Sequence[Instruction]
    name: str


@dataclass(frozen=True, slots=True)
class ChainsReport:
    """What the job did.

    Attributes:
        name: Of the tuned model.
        adapter: Digest of the adapter.
        tuning: What the loop did.
        num_chains: Chains that were learned from.
        num_general: Instructions that were learned from.
        num_general_wanted: Instructions that ``general_share`` asks for.
        general_share: Share of instructions that was reached.
        num_too_long: Examples left out because they are too long.
        left_out: Why stored answers were not taken: reason → rows.
        before: What the base model does with what is held out.
        after: What the tuned one does.
    """

    name: str
    adapter: str
    tuning: TuningReport
    num_chains: int
    num_general: int
    num_general_wanted: int
    general_share: float
    num_too_long: int
    before: Standing
    after: Standing
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])


def tune_chains(
    store: Store,
    release: Release,
    sources: ChainsSources,
    *,
    entry: ModelEntry,
    config: ChainsConfig,
    seed: int,
    work_folder: Path,
    progress: Progress = no_progress,
) -> ChainsReport:
    """Tune an adapter on chains and instructions, store it, and give it its name.

    A job that was stopped goes on from its last checkpoint when it is called again with the same arguments;
    what the base model does is measured once.

    Args:
        store: The release's store.
        release: An opened release, which the chains are of.
        sources: What is learned from.
        entry: The base model.
        config: Settings.
        seed: Of everything that is drawn.
        work_folder: Where checkpoints are kept.
        progress: Told about answers, then about steps.

    Raises:
        UsageError: If the name cannot be one, the base cannot be tuned, or instructions are wanted and there
            are none.
        UnknownNameError: If the base has no such target module.
        InputError: If there is too little to learn from.
        LeakError: If the chains read events of several splits.
        SetupError: If peft, weights or a GPU are absent.
        LockHeldError: If another job tunes the same name.
        StorageFullError: If there is no room.
    """
    check_tuned_name(sources.name, {})
    require_peft()
    event_set = joined_event_set(sources.chains.event_sets)
    with FeatureLock(store.objects, f"tuning.{sources.name}") as lock:
        writer = load_writer(entry, config)
        mixture = mix(writer, sources.chains.examples, sources.instructions, config, seed=seed)
        model = AdaptedWriter(attach_adapter(writer.network, config, seed=seed))
        file = _checkpoint_file(work_folder, sources.name, writer, mixture, config=config, seed=seed)
        before = kept_standing(
            work_folder / "tuning" / f"before-{_judged(writer, sources.chains, mixture, config)[:16]}.json",
            lambda: measure_standing(
                writer, model, sources.chains.prompt, mixture, config, progress=progress
            ),
        )
        objective = AnswerObjective(mixture.learned)
        report = tune(
            model, objective, config, seed=seed, checkpoint=TuningCheckpoint(file, lock), progress=progress
        )
        after = measure_standing(writer, model, sources.chains.prompt, mixture, config, progress=progress)
        adapter = Adapter(
            adapter_files(model.network),
            AdapterOrigin(
                job=JOB,
                base=writer.spec,
                settings=_settings(config, sources, mixture),
                seed=seed,
                release=release.number,
                texts={sources.chains.prompt.entity: _texts_digest(sources.chains)},
                event_set=event_set,
                num_examples=objective.num_examples,
            ),
        )
        lock.check()
        adapter.save(store.objects)
        save_tuned(store.objects, sources.name, TunedModel(base=entry.alias, adapter=adapter.digest))
        file.discard()
    return ChainsReport(
        name=sources.name,
        adapter=adapter.digest,
        tuning=report,
        num_chains=len(mixture.chains),
        num_general=len(mixture.general),
        num_general_wanted=mixture.num_general_wanted,
        general_share=mixture.general_share,
        num_too_long=mixture.num_too_long,
        before=before,
        after=after,
        left_out=sources.chains.left_out,
    )


def _settings(config: ChainsConfig, sources: ChainsSources, mixture: Mixture) -> dict[str, object]:
    """Settings, which instructions were there to be mixed in, and the share of them that was reached."""
    general = digest([asdict(each) for each in sources.instructions]) if sources.instructions else None
    return {**config.result_settings, "general": general, "general_share_reached": mixture.general_share}


def _texts_digest(chains: ChainSet) -> str:
    """The spec of the texts; of several stages, a digest of theirs."""
    digests = sorted(spec.digest for spec in chains.specs.values())
    return digests[0] if len(digests) == 1 else digest(digests)


def _judged(writer: Writer, chains: ChainSet, mixture: Mixture, config: ChainsConfig) -> str:
    """Digest of what is known before tuning: every adapter of the base is judged against the same."""
    return digest(
        [
            writer.spec.model_dump(mode="json"),
            chains.prompt.digest,
            mixture.judged_identity,
            config.judged_answers,
            config.device,
            config.precision,
            product_version(),
        ]
    )


def _checkpoint_file(
    work_folder: Path, name: str, writer: Writer, mixture: Mixture, *, config: ChainsConfig, seed: int
) -> CheckpointFile:
    """Where the state of exactly this job is kept: another job has another file."""
    identity = digest(
        {
            "base": writer.spec.model_dump(mode="json"),
            "settings": config.result_settings,
            "seed": seed,
            "learned_from": mixture.identity,
            "version": product_version(),
        }
    )
    return CheckpointFile(work_folder / "tuning" / f"{name}-{identity[:16]}.safetensors", identity)
