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

from pydantic import TypeAdapter

from featurestore.adapters import Adapter, AdapterOrigin, has_adapter
from featurestore.ids import digest
from featurestore.jobs.lock import FeatureLock
from featurestore.point_in_time import joined_event_set
from featurestore.progress import Progress, no_progress
from featurestore.reader import Release
from featurestore.store import Store
from featurestore.tuned_models import TunedModel, save_tuned
from featurestore.version import product_version
from llm_jobs.entries import ModelEntry
from llm_jobs.tuned_models import check_tuned_name
from llm_jobs.tuning.answer_loss import AnswerObjective
from llm_jobs.tuning.chain_examples import ChainSet
from llm_jobs.tuning.chains_config import ChainsConfig
from llm_jobs.tuning.checkpoint import TuningCheckpoint
from llm_jobs.tuning.general_set import Instruction
from llm_jobs.tuning.kept import keep, read_kept
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

    A job that was stopped goes on from its last checkpoint when it is called again with the same arguments,
    and one that was finished is not done again as long as the store has its adapter. What the base model does
    is measured once.

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
        job = _Job(sources, writer, mixture, config, seed, work_folder / "tuning", progress)
        file, form = job.checkpoint_file, TypeAdapter(ChainsReport)
        done = file.path.with_suffix(".json")
        report = read_kept(form, done)
        if report is None or not has_adapter(store.objects, report.adapter):
            report = job.run(store, release, event_set, lock)
            keep(form, done, report)
        lock.check()
        save_tuned(store.objects, sources.name, TunedModel(base=entry.alias, adapter=report.adapter))
        file.discard()
    return report


@dataclass(frozen=True)
class _Job:
    """One tuning: what it learns from, by what, and how."""

    sources: ChainsSources
    writer: Writer
    mixture: Mixture
    config: ChainsConfig
    seed: int
    folder: Path
    progress: Progress

    def run(self, store: Store, release: Release, event_set: str | None, lock: FeatureLock) -> ChainsReport:
        """Measure, tune, measure again, and store the adapter."""
        model = AdaptedWriter(attach_adapter(self.writer.network, self.config, seed=self.seed))
        before = kept_standing(
            self.folder / f"before-{self._judged[:16]}.json", lambda: self._standing(model)
        )
        objective = AnswerObjective(self.mixture.learned)
        tuning = tune(
            model,
            objective,
            self.config,
            seed=self.seed,
            checkpoint=TuningCheckpoint(self.checkpoint_file, lock),
            progress=self.progress,
        )
        after = self._standing(model)
        adapter = Adapter(
            adapter_files(model.network),
            AdapterOrigin(
                job=JOB,
                base=self.writer.spec,
                settings=self._settings,
                seed=self.seed,
                release=release.number,
                texts={self.sources.chains.prompt.entity: _texts_digest(self.sources.chains)},
                event_set=event_set,
                num_examples=objective.num_examples,
            ),
        )
        lock.check()
        adapter.save(store.objects)
        return ChainsReport(
            name=self.sources.name,
            adapter=adapter.digest,
            tuning=tuning,
            num_chains=len(self.mixture.chains),
            num_general=len(self.mixture.general),
            num_general_wanted=self.mixture.num_general_wanted,
            general_share=self.mixture.general_share,
            num_too_long=self.mixture.num_too_long,
            before=before,
            after=after,
            left_out=self.sources.chains.left_out,
        )

    @property
    def checkpoint_file(self) -> CheckpointFile:
        """Where the state of exactly this job is kept: another job has another file."""
        identity = digest(
            {
                "base": self.writer.spec.model_dump(mode="json"),
                "settings": self.config.result_settings,
                "seed": self.seed,
                "learned_from": self.mixture.identity,
                "version": product_version(),
            }
        )
        return CheckpointFile(self.folder / f"{self.sources.name}-{identity[:16]}.safetensors", identity)

    def _standing(self, model: AdaptedWriter) -> Standing:
        return measure_standing(
            self.writer,
            model,
            self.sources.chains.prompt,
            self.mixture,
            self.config,
            progress=self.progress,
        )

    @property
    def _settings(self) -> dict[str, object]:
        """Settings, which instructions were there to be mixed in, and the share of them that was reached."""
        instructions = self.sources.instructions
        general = digest([asdict(each) for each in instructions]) if instructions else None
        reached = self.mixture.general_share
        return {**self.config.result_settings, "general": general, "general_share_reached": reached}

    @property
    def _judged(self) -> str:
        """Digest of what is known before tuning: every adapter of the base is judged against the same."""
        return digest(
            [
                self.writer.spec.model_dump(mode="json"),
                self.sources.chains.prompt.digest,
                self.mixture.judged_identity,
                self.config.judged_answers,
                self.config.device,
                self.config.precision,
                product_version(),
            ]
        )


def _texts_digest(chains: ChainSet) -> str:
    """The spec of the texts; of several stages, a digest of theirs."""
    digests = sorted(spec.digest for spec in chains.specs.values())
    return digests[0] if len(digests) == 1 else digest(digests)
