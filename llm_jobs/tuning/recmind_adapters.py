"""RecMind's adapters: LoRA and W_proj tuned so that texts agree with the graph, and z^L of all texts stored.

Phase 1 of RecMind (arXiv 2509.06286, eq. 3-5), as an offline job of its own: z^G comes from the store, where
``featurestore vectors`` put it, and is frozen. One adapter serves items and users. z^L is a vector feature
whose spec names the texts, the z^G that it was aligned with and the adapter; its rows name the events that
all of these read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from featurestore.adapters import Adapter, AdapterOrigin, load_adapter
from featurestore.errors import UsageError
from featurestore.features import FeatureRegistry
from featurestore.ids import digest
from featurestore.jobs.lock import FeatureLock
from featurestore.names import require_name
from featurestore.point_in_time import joined_event_set
from featurestore.progress import Progress, no_progress
from featurestore.reader import Release, require_same_space
from featurestore.spec import Entity, VectorSpec, table_name
from featurestore.store import Store
from featurestore.version import product_version
from llm_jobs.entries import EncoderEntry
from llm_jobs.tuning.aligned_texts import (
    AlignedSide,
    SideTexts,
    newest_texts,
    read_aligned,
    released_texts,
    require_current_events,
)
from llm_jobs.tuning.alignment import Alignment, AlignmentConfig, AlignmentObjective
from llm_jobs.tuning.base_model import BaseModel, TextVectors, load_base
from llm_jobs.tuning.checkpoint import TuningCheckpoint
from llm_jobs.tuning.loop import TuningReport, tune
from llm_jobs.tuning.lora import attach_adapter, require_peft
from llm_jobs.tuning.nodes import choose_nodes
from llm_jobs.tuning.tuned_encoder import TunedEncoder, open_tuned, tuned_files, tuned_spec
from llm_jobs.tuning.vector_rows import write_vectors
from recommender.checkpoint import CheckpointFile

_JOB = "recmind"


@dataclass(frozen=True, slots=True)
class RecmindSources:
    """What the job reads and how its result is called.

    Attributes:
        texts: Entity → text feature, or one view of it; items, users or both.
        vectors: Vector feature that holds z^G.
        name: Vector feature that is written; its views are ``item`` and ``user``.
    """

    texts: dict[Entity, str]
    vectors: str
    name: str = _JOB


@dataclass(frozen=True, slots=True)
class StoredSide:
    """Vectors z^L of one side.

    Attributes:
        spec: Of the vectors.
        table: Where they are.
        num_texts: Rows of the table.
        num_written: Rows that were written now.
    """

    spec: VectorSpec
    table: str
    num_texts: int
    num_written: int


@dataclass(frozen=True, slots=True)
class RecmindReport:
    """What the job did.

    Attributes:
        adapter: Digest of the adapter.
        stored: Vectors by side.
        tuning: What the loop did; None where an adapter was there already.
        num_examples: Nodes that were learned from.
        num_tokens: Tokens of their texts, which every epoch reads once.
        before: Entity → alignment of held-out nodes with a new adapter and a random W_proj.
        after: The same when tuning had ended.
    """

    adapter: str
    stored: tuple[StoredSide, ...]
    tuning: TuningReport | None = None
    num_examples: int = 0
    num_tokens: int = 0
    before: dict[Entity, Alignment] = field(default_factory=dict[Entity, Alignment])
    after: dict[Entity, Alignment] = field(default_factory=dict[Entity, Alignment])


def tune_recmind(
    store: Store,
    release: Release,
    sources: RecmindSources,
    *,
    entry: EncoderEntry,
    config: AlignmentConfig,
    seed: int,
    work_folder: Path,
    progress: Progress = no_progress,
) -> RecmindReport:
    """Tune an adapter on the nodes that have both views, store it, and store z^L of every text.

    A job that was stopped goes on from its last checkpoint when it is called again with the same arguments.

    Args:
        store: The release's store.
        release: An opened release.
        sources: Texts, vectors and the name of the result.
        entry: The base model: a decoder or an encoder.
        config: Settings.
        seed: Of everything that is drawn.
        work_folder: Where checkpoints are kept.
        progress: Told about steps, then about rows.

    Raises:
        UnknownNameError: If the release has no such text or vector feature, or the base no such target
            module.
        UsageError: If a feature describes the other entity, the name cannot be one or is of a model's own
            vectors, or the base cannot be tuned.
        InputError: If a side has no texts, or hardly any node has both views.
        LeakError: If texts or vectors read held-out events.
        EmbeddingSpaceError: If z^G of items and of users are of different models.
        SetupError: If peft, weights or a GPU are absent.
        LockHeldError: If another job tunes or writes the same feature.
        StorageFullError: If there is no room.
    """
    _require_name(store, sources)
    require_peft()
    texts = [released_texts(release, entity, name) for entity, name in _named(sources)]
    sides = [read_aligned(release, each, sources.vectors) for each in texts]
    require_same_space(*(side.vectors for side in sides))
    event_set = joined_event_set({name for side in sides for name in side.event_sets})
    with FeatureLock(store.objects, f"tuning.{sources.name}") as lock:
        base = load_base(entry, config)
        model = TextVectors(attach_adapter(base.network, config, seed=seed), base.spec.pooling)
        nodes = choose_nodes(base, sides, config, seed=seed)
        projection = nodes.projection(model, config, seed=seed)
        objective = AlignmentObjective(nodes.tuned_on, config, projection)
        file = _checkpoint_file(work_folder, sources, sides, base=base, config=config, seed=seed)
        before = nodes.measure(model, objective, config)
        report = tune(
            model, objective, config, seed=seed, checkpoint=TuningCheckpoint(file, lock), progress=progress
        )
        after = nodes.measure(model, objective, config)
        adapter = Adapter(
            tuned_files(model, projection),
            AdapterOrigin(
                job=_JOB,
                base=base.spec,
                settings=config.result_settings,
                seed=seed,
                release=release.number,
                texts={each.entity: each.spec.digest for each in texts},
                vectors={side.texts.entity: side.vectors.spec.digest for side in sides},
                event_set=event_set,
                num_examples=objective.num_examples,
            ),
        )
        lock.check()
        adapter.save(store.objects)
        weight, bias = projection.folded()
        spec = tuned_spec(base.spec, adapter.digest, job=_JOB, embedding_dim=len(bias))
        encoder = TunedEncoder(base, model, weight, bias, spec=spec)
        stored = _store(store, texts, sources.name, encoder=encoder, adapter=adapter, progress=progress)
        file.discard()
    return RecmindReport(
        adapter.digest,
        stored,
        report,
        num_examples=objective.num_examples,
        num_tokens=sum(pairs.num_tokens for pairs in nodes.tuned_on),
        before=before,
        after=after,
    )


def apply_recmind(
    store: Store,
    sources: RecmindSources,
    *,
    entry: EncoderEntry,
    adapter: str,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> RecmindReport:
    """Store z^L of texts that came or changed since an adapter was tuned; nothing is tuned, z^G is not read.

    Reads the newest texts, as embedding does: a release of them would lack their vectors.

    Args:
        store: Holds adapter and texts.
        sources: Texts and the name of the result.
        entry: The base model that the adapter was tuned on.
        adapter: First characters of its digest.
        device: ``cpu`` or ``cuda``.
        progress: Told about rows.

    Raises:
        UnknownNameError: If the store has no such adapter; lists those there are.
        EmbeddingSpaceError: If the adapter belongs to another base model.
        LeakError: If it learned from the events of another split than the store's, or than the texts.
        UsageError, InputError, SetupError, LockHeldError, StorageFullError: As `tune_recmind`.
    """
    _require_name(store, sources)
    stored_adapter = load_adapter(store.objects, adapter)
    require_current_events(store, stored_adapter)
    texts = [newest_texts(store, entity, name) for entity, name in _named(sources)]
    try:
        config = AlignmentConfig.model_validate(stored_adapter.origin.settings | {"device": device})
    except ValidationError as error:
        raise UsageError(
            f"the adapter {adapter!r} was tuned with settings that do not fit device={device}: "
            f"{error.errors()[0]['msg']}.",
            hint="Encode with it on the kind of device that it was tuned on.",
        ) from error
    encoder = open_tuned(load_base(entry, config), stored_adapter)
    stored = _store(store, texts, sources.name, encoder=encoder, adapter=stored_adapter, progress=progress)
    return RecmindReport(stored_adapter.digest, stored)


def _require_name(store: Store, sources: RecmindSources) -> None:
    require_name(sources.name, "a feature")
    FeatureRegistry(store).require_origin("encoder", sources.name, sources.texts)


def _named(sources: RecmindSources) -> list[tuple[Entity, str]]:
    if not sources.texts:
        raise UsageError("alignment needs texts of items, of users, or of both; none were named.")
    return sorted(sources.texts.items())


def _checkpoint_file(
    work_folder: Path,
    sources: RecmindSources,
    sides: Sequence[AlignedSide],
    *,
    base: BaseModel,
    config: AlignmentConfig,
    seed: int,
) -> CheckpointFile:
    """Where the state of exactly this job is kept: another job has another file."""
    identity = digest(
        {
            "base": base.identity,
            "settings": config.result_settings,
            "seed": seed,
            "learned_from": [side.identity for side in sides],
            "version": product_version(),
        }
    )
    return CheckpointFile(work_folder / "tuning" / f"{sources.name}-{identity[:16]}.safetensors", identity)


def _store(
    store: Store,
    texts: Sequence[SideTexts],
    name: str,
    *,
    encoder: TunedEncoder,
    adapter: Adapter,
    progress: Progress,
) -> tuple[StoredSide, ...]:
    stored: list[StoredSide] = []
    aligned_with = ",".join(sorted(adapter.origin.vectors.values()))
    for side in texts:
        spec = VectorSpec(
            feature=name,
            view=side.entity,
            entity=side.entity,
            text_digest=side.spec.digest,
            encoder=encoder.spec,
            aligned_with=aligned_with,
        )
        read = {*side.event_sets, *([adapter.origin.event_set] if adapter.origin.event_set else [])}
        num_written = write_vectors(
            store, spec, side.rows, encoder, event_set=joined_event_set(read), progress=progress
        )
        stored.append(StoredSide(spec, table_name(spec), side.rows.height, num_written))
    return tuple(stored)
