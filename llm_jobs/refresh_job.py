"""What a refresh is to do, and what with: values that `llm_jobs.refresh.refresh` takes."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from featurestore.codes.generations import SemanticIdOptions
from featurestore.gates.policy import GatePolicy
from featurestore.gates.probe import Probe
from featurestore.graph import GraphBuilder
from featurestore.graphs.options import GraphOptions
from featurestore.ingest import IngestRequest
from featurestore.spec import NeighborSearch
from llm_jobs.encoder import TextEncoder
from llm_jobs.engines import OpenModel
from llm_jobs.entries import EncoderEntry, ModelEntry
from llm_jobs.generate import GenerateOptions
from llm_jobs.job_graph import UpstreamJob
from llm_jobs.prompt import Prompt
from llm_jobs.runner import Runner
from llm_jobs.spending import Spending


@dataclass(frozen=True, slots=True)
class TextJob:
    """Texts that a language model writes.

    Attributes:
        prompt: With its limits applied.
        entry: Who writes.
        options: Which entities, when they are due, and how patiently.
        runner: Where the chains run; None: in this process.
        upstream: The job whose texts the prompt reads.
    """

    prompt: Prompt
    entry: ModelEntry
    options: GenerateOptions
    runner: Runner | None = None
    upstream: UpstreamJob | None = None


@dataclass(frozen=True, slots=True)
class FeatureJob:
    """One text feature and what is made of it.

    Attributes:
        feature: Its name.
        texts: Who writes it; None: it is put together from the items' own fields.
        views: Views to encode; None: all that hold texts.
        graphs: Views of which kNN graphs are built: of users, by the items they trained on, if the feature is
            one of items.
        codes: Views of which semantic ids are made.
    """

    feature: str
    texts: TextJob | None
    views: tuple[str, ...] | None = None
    graphs: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReleaseJob:
    """How what was made is released.

    Attributes:
        gates: What must hold.
        alias: Names the release in the end; None: no alias is moved.
        features: Features or views to release; None: all.
        probe: A frozen model that the new vectors are scored with.
        canary: An alias that names the release while all that it holds is verified, and checked.
        check: Called with the release's number before it is promoted; raises if it may not be.
    """

    gates: GatePolicy
    alias: str | None = "production"
    features: tuple[str, ...] | None = None
    probe: Probe | None = None
    canary: str | None = None
    check: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True)
class RefreshJob:
    """What a refresh does. Graphs, semantic ids and vectors that the store holds are kept current as well.

    Attributes:
        sources: Files to ingest; None: the sources are as they are.
        features: Each after those that it reads.
        encoder: Makes the vectors of the views named.
        graph: How graphs are built that the store does not hold yet.
        semantic_ids: How new codebooks are trained.
        release: How it is released.
        spending: The price, and ceilings for the texts of all features together; None: each has its own.
    """

    sources: IngestRequest | None
    features: tuple[FeatureJob, ...]
    encoder: EncoderEntry
    graph: GraphOptions
    semantic_ids: SemanticIdOptions
    release: ReleaseJob
    spending: Spending | None = None


@dataclass(frozen=True, slots=True)
class RefreshTools:
    """What a refresh works with.

    Attributes:
        open_model: A model and its engine, which starts at the first request.
        open_encoder: An encoder, opened when there is something to encode.
        find_encoder: The entry of an alias, for vectors that the store holds.
        open_builder: What finds neighbours, by a search.
        work_folder: Folder on this machine for logs; the same one every night.
    """

    open_model: Callable[[ModelEntry], AbstractContextManager[OpenModel]]
    open_encoder: Callable[[EncoderEntry], TextEncoder]
    find_encoder: Callable[[str], EncoderEntry]
    open_builder: Callable[[NeighborSearch], GraphBuilder]
    work_folder: Path
