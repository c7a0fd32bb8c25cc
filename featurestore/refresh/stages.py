"""Stages of a refresh that need no model: each a thin skin over the call that does its work alone as well."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from featurestore.codes.build import build_codes
from featurestore.codes.generations import SemanticIdOptions
from featurestore.features import FeatureRegistry
from featurestore.graph import GraphBuilder
from featurestore.graphs.build import EntityUsers, build_graph
from featurestore.graphs.options import GraphOptions
from featurestore.ingest import IngestRequest, ingest
from featurestore.refresh.pipeline import StageOutcome, Watch
from featurestore.refresh.retire import retire_gone
from featurestore.refresh.stored_state import head_state, source_state, table_versions
from featurestore.source_tables import ITEMS, USERS
from featurestore.splits import current_split
from featurestore.store import Store

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class IngestStage:
    """Files into the source tables; skipped while files, options and tables are what they were."""

    store: Store
    request: IngestRequest
    watch: Watch
    name: str = "ingest"

    def reads(self) -> Mapping[str, Any]:
        """Reads every file once, which costs far less than parsing it."""
        return {
            "files": {role: _file_digest(path) for role, path in self.request.files.items()},
            "format": self.request.format,
            "columns": {role: dict(names) for role, names in self.request.columns.items()},
            "split": self.request.split.model_dump(mode="json"),
        }

    def writes(self) -> Mapping[str, Any]:
        """The source tables, and the split."""
        return source_state(self.store)

    def run(self) -> StageOutcome:
        """See `featurestore.ingest.ingest`."""
        with self.watch.progress(self.name) as progress:
            report = ingest(self.store, self.request, progress=progress)
        told = report.as_dict()
        return StageOutcome(facts={name: told[name] for name in ("files", "changed_tables")})


@dataclass(frozen=True, slots=True)
class RetireStage:
    """Rows of entities that are gone, out of texts and vectors; skipped while the sources are the same."""

    store: Store
    name: str = "retire"

    def reads(self) -> Mapping[str, Any]:
        """Which entities there are, and which tables hold rows of entities."""
        registry = FeatureRegistry(self.store)
        heads = [*registry.heads("text"), *registry.heads("vector")]
        return {**table_versions(self.store, ITEMS, USERS), "heads": [head.table for head in heads]}

    def writes(self) -> Mapping[str, Any]:
        """Nothing that brings back an entity: only a new source can."""
        return {}

    def run(self) -> StageOutcome:
        """See `featurestore.refresh.retire.retire_gone`."""
        report = retire_gone(self.store)
        busy = ", ".join(report.busy)
        left = f"another job is writing {busy}: rows of entities that are gone stay there" if busy else None
        return StageOutcome(facts={**asdict(report), "num_deleted": sum(report.deleted.values())}, left=left)


@dataclass(frozen=True, slots=True)
class GraphStage:
    """The graph of one vector view; skipped while the vectors, and events that place users, are as before."""

    store: Store
    feature: str
    view: str
    entity_users: EntityUsers
    options: GraphOptions
    builder: GraphBuilder
    watch: Watch

    @property
    def name(self) -> str:
        """``graph.item_cot.fused``, or ``graph.item_cot.fused-users``."""
        return f"graph.{self.feature}.{self._graph_view}"

    @property
    def _graph_view(self) -> str:
        return f"{self.view}-users" if self.entity_users == "mean_of_train_items" else self.view

    def reads(self) -> Mapping[str, Any]:
        """The vectors and the options; for pooled users also the events."""
        vectors = head_state(self.store, "vector", self.feature, self.view)
        split = current_split(self.store) if self.entity_users == "mean_of_train_items" else None
        return {
            "vectors": vectors,
            "split": split.checksum if split else None,
            "options": self.options.model_dump(mode="json"),
            "builder": self.builder.name,
        }

    def writes(self) -> Mapping[str, Any]:
        """The edges."""
        return {"edges": head_state(self.store, "graph", self.feature, self._graph_view)}

    def run(self) -> StageOutcome:
        """See `featurestore.graphs.build.build_graph`."""
        with self.watch.progress(self.name) as progress:
            report = build_graph(
                self.store,
                feature=self.feature,
                view=self.view,
                entity_users=self.entity_users,
                num_neighbors=self.options.num_neighbors,
                builder=self.builder,
                shape=self.options.shape,
                progress=progress,
            )
        work = report.work.model_dump(mode="json") if report.work is not None else None
        return StageOutcome(
            facts={
                "table": report.table.table,
                "version": report.table.version,
                "changed": report.changed,
                "quality": report.quality.model_dump(mode="json"),
                "work": work,
            }
        )


@dataclass(frozen=True, slots=True)
class CodesStage:
    """The semantic ids of one vector view; skipped while the vectors are the same."""

    store: Store
    feature: str
    view: str
    options: SemanticIdOptions
    watch: Watch

    @property
    def name(self) -> str:
        """``codes.item_semantic_id.description``."""
        return f"codes.{self.feature}.{self.view}"

    def reads(self) -> Mapping[str, Any]:
        """The vectors and the options."""
        vectors = head_state(self.store, "vector", self.feature, self.view)
        return {"vectors": vectors, "options": self.options.model_dump(mode="json")}

    def writes(self) -> Mapping[str, Any]:
        """The codes."""
        return {"codes": head_state(self.store, "codes", self.feature, self.view)}

    def run(self) -> StageOutcome:
        """See `featurestore.codes.build.build_codes`."""
        with self.watch.progress(self.name) as progress:
            report = build_codes(
                self.store, feature=self.feature, view=self.view, options=self.options, progress=progress
            )
        counts = ("trained", "changed", "num_coded", "num_new", "num_gone")
        return StageOutcome(
            facts={"table": report.table.table, **{name: getattr(report, name) for name in counts}}
        )


def _file_digest(path: Path) -> str | None:
    """Digest of a file's bytes; None if it cannot be read, of which the ingest has more to say."""
    hasher = blake3()
    try:
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                hasher.update(block)
    except OSError:
        return None
    return hasher.hexdigest()
