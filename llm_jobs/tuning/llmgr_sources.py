"""What LLMGR's stages read of a release: titles of items, frozen vectors of nodes, training sessions, graphs.

Letters: I items, n sessions, d dimensions.
"""

from dataclasses import dataclass

import numpy as np
import torch

from featurestore.errors import EmbeddingSpaceError, InputError, UsageError
from featurestore.ids import digest, digest_bytes
from featurestore.reader import Release
from featurestore.spec import ModelVectorSpec
from llm_jobs.tuning.aligned_texts import AlignedSide, read_aligned, released_texts
from llm_jobs.tuning.config import tuning_device
from llm_jobs.tuning.hybrid_input import HybridTokens
from llm_jobs.tuning.hybrid_model import HybridEnds
from llm_jobs.tuning.llmgr_config import LlmgrConfig, Stage
from llm_jobs.tuning.llmgr_examples import (
    SessionExamples,
    TitleExamples,
    other_titles,
    session_examples,
    some_of,
)
from llm_jobs.tuning.llmgr_objective import JointStage, Reading, SessionStage, TitleStage
from recommender.data import FloatArray, Histories, IntArray, TrainingData, load_training_data
from recommender.features import line_up
from recommender.saved import SavedModel
from recommender.sequence.model import SequenceModel
from recommender.sequence_vectors import states_of


@dataclass(frozen=True, slots=True)
class LlmgrSources:
    """What a stage reads and how its result is called.

    Attributes:
        items: Text feature of items, or one view of it.
        vectors: Vector feature that holds x of the items.
        name: Of what is written.
        base: The model that x is of, which reads graphs out of sessions; None if there is no need.
    """

    items: str
    vectors: str
    name: str = "llmgr"
    base: SavedModel | None = None


@dataclass(frozen=True)
class LlmgrData:
    """What a stage has read.

    Attributes:
        side: Titles, and the items that have x as well.
        nodes: (I, d) float32 x by rows of the release's id map; zero where an item has none.
        item_rows: (m,) int64 rows of the id map of the items in ``side.rows``.
        training: Training sessions.
        base: See `LlmgrSources`.
    """

    side: AlignedSide
    nodes: FloatArray
    item_rows: IntArray
    training: TrainingData
    base: SavedModel | None

    @property
    def identity(self) -> str:
        """Digest of all that is learned from."""
        histories = self.training.histories
        events = [np.ascontiguousarray(a, "<i8").tobytes() for a in (histories.indptr, histories.items)]
        return digest([self.side.identity, *map(digest_bytes, events)])

    @property
    def titles(self) -> tuple[str, ...]:
        """Title of each item in ``item_rows``."""
        texts = self.side.texts.texts
        return tuple(texts[row] for row in self.side.rows)

    def titles_read(self, config: LlmgrConfig, *, seed: int) -> tuple[str, ...]:
        """Title of each item in ``item_rows``, or as a control that of another, as the config says."""
        return self.titles if config.texts == "own" else other_titles(self.titles, seed)

    def all_titles(self, config: LlmgrConfig, *, seed: int) -> tuple[str, ...]:
        """The same for each of I items; empty where an item has no title, or no x."""
        known = dict(zip(self.item_rows.tolist(), self.titles_read(config, seed=seed), strict=True))
        return tuple(known.get(row, "") for row in range(len(self.nodes)))


def read_llmgr(release: Release, sources: LlmgrSources) -> LlmgrData:
    """Read a release.

    Raises:
        UnknownNameError: If it has no such text or vector feature.
        UsageError: If a feature describes users.
        EmbeddingSpaceError: If x is not of the base model.
        LeakError: If texts or vectors read held-out events.
        InputError: If hardly any item has both a title and x, or there are no training events.
    """
    texts = released_texts(release, "item", sources.items)
    side = read_aligned(release, texts, sources.vectors)
    if sources.base is not None:
        _require_same_model(sources.base, side)
    if len(side.rows) < 2:
        raise InputError(
            "a title is told from others, but fewer than two items have both a title and a vector.",
            hint="Do texts and vectors describe the same items?",
        )
    ids, item_map = texts.ids, release.id_map("item")
    return LlmgrData(
        side,
        line_up([side.vectors], item_map.ids).matrix,
        item_map.row_of(ids[row] for row in side.rows),
        load_training_data(release),
        sources.base,
    )


def title_examples(found: LlmgrData, config: LlmgrConfig, *, seed: int) -> TitleExamples:
    """Titles to learn from, and the nodes that are candidates of them."""
    titles = found.titles_read(config, seed=seed)
    rows = some_of(np.arange(len(titles)), config.max_examples, seed)
    return TitleExamples(
        items=found.item_rows[rows],
        titles=tuple(titles[row] for row in rows),
        offered=found.item_rows,
        num_candidates=min(config.num_candidates, len(found.item_rows)),
        seed=seed,
    )


def graph_vectors(found: LlmgrData, prefixes: Histories, config: LlmgrConfig) -> FloatArray:
    """(n, d) float32 Z of n sessions; no rows if prompts have no graphs.

    Raises:
        UsageError: If the base model is needed, and none is named.
    """
    width = found.nodes.shape[1]
    match config.graph_token:
        case "none":
            return np.zeros((0, width), np.float32)
        case "mean":
            owners = np.repeat(np.arange(len(prefixes)), prefixes.lengths)
            sums = np.zeros((len(prefixes), width), np.float32)
            np.add.at(sums, owners, found.nodes[prefixes.items])
            return sums / np.maximum(prefixes.lengths, 1)[:, None].astype(np.float32)
        case "readout":
            if found.base is None:
                raise UsageError(
                    "graph_token=readout needs the model that reads graphs out of sessions; none is named.",
                    hint="Name its folder with --base, or set graph_token=mean or none.",
                )
            assert isinstance(found.base.model, SequenceModel)
            return states_of(found.base.model, prefixes)


def reading_of(
    found: LlmgrData,
    examples: SessionExamples | None,
    tokens: HybridTokens,
    config: LlmgrConfig,
    *,
    seed: int,
) -> Reading:
    """What prompts of some sessions, or of titles alone, are made with; on the config's device.

    The seed is that of the tuning: sessions in words are learned and asked with the same titles.
    """
    none = Histories(np.zeros(1, np.int64), np.zeros(0, np.int64))
    sessions = (
        np.zeros((0, found.nodes.shape[1]), np.float32)
        if examples is None
        else graph_vectors(found, examples.prefixes if len(examples) else none, config)
    )
    device = tuning_device(config)
    titles = found.all_titles(config, seed=seed) if config.sessions == "titles" else None
    nodes, graphs = (torch.from_numpy(each).to(device) for each in (found.nodes, sessions))
    return Reading(tokens, nodes, graphs, titles)


def new_objective(
    found: LlmgrData, stage: Stage, tokens: HybridTokens, ends: HybridEnds, config: LlmgrConfig, *, seed: int
) -> TitleStage | SessionStage | JointStage:
    """The stage's objective over all that was read."""
    sessions = None
    if stage != "alignment":
        sessions = session_examples(
            found.training.histories, config.max_nodes, max_examples=config.max_examples, seed=seed
        )
    reading = reading_of(found, sessions, tokens, config, seed=seed)
    if sessions is None:
        return TitleStage(title_examples(found, config, seed=seed), reading, ends)
    after = SessionStage(sessions, reading, ends)
    if stage == "behaviour":
        return after
    return JointStage(TitleStage(title_examples(found, config, seed=seed), reading, ends), after)


def _require_same_model(base: SavedModel, side: AlignedSide) -> None:
    """Refuse a base model whose items' vectors are others.

    Raises:
        UsageError: If it reads no histories.
        EmbeddingSpaceError: If x is another model's.
    """
    if not isinstance(base.model, SequenceModel):
        raise UsageError(
            f"{base.info.model} reads no sessions, so that it has no vector of a session's graph.",
            hint="Train a model of sessions, such as gcsan.",
        )
    spec = side.vectors.spec
    if not isinstance(spec, ModelVectorSpec) or spec.config_digest != digest(
        base.info.model_dump(mode="json")
    ):
        raise EmbeddingSpaceError(
            f"the vectors {spec.feature!r} are not those of the model in {base.folder}.",
            hint=f"Store them with: featurestore vectors --model {base.folder} --name {spec.feature}, "
            "then publish.",
        )
