"""Stages of what is made of vectors: the graphs and semantic ids that a store holds, and those named anew."""

from collections.abc import Collection
from typing import Final, Protocol

from featurestore.codes.generations import SemanticIdOptions
from featurestore.features import FeatureRegistry
from featurestore.graphs.edges import GraphShape
from featurestore.graphs.options import GraphOptions
from featurestore.refresh.pipeline import Stage, Watch
from featurestore.refresh.stages import CodesStage, GraphStage
from featurestore.spec import CodesSpec, GraphSpec
from featurestore.store import Store
from llm_jobs.refresh_job import RefreshJob, RefreshTools

_USERS: Final = "-users"


class FeatureStage(Stage, Protocol):
    """A stage of one feature."""

    @property
    def feature(self) -> str:
        """Name of the feature."""
        ...


class DerivedStages:
    """The stages after the vectors.

    Args:
        store: Holds vectors, graphs and semantic ids.
        job: Names those that are wanted.
        tools: Opens graph builders.
        watch: Shows how far the stages are.
    """

    def __init__(self, store: Store, job: RefreshJob, tools: RefreshTools, watch: Watch) -> None:
        self._store = store
        self._job = job
        self._tools = tools
        self._watch = watch

    def graphs(self, behind: Collection[str] = ()) -> list[GraphStage]:
        """Graphs that the store holds, as they were built, and those named that it lacks.

        Args:
            behind: Features whose vectors another job makes: a graph of views without any waits.

        Raises:
            UnknownNameError: If a view that is named has no vectors, and nobody makes them.
        """
        stages: dict[str, GraphStage] = {}
        registry = FeatureRegistry(self._store)
        for head in registry.heads("graph"):
            spec = head.spec
            if isinstance(spec, GraphSpec):
                pooled = spec.pooling == "mean_of_train_items"
                view = spec.view.removesuffix(_USERS) if pooled else spec.view
                built = GraphOptions(
                    num_neighbors=spec.num_neighbors, shape=GraphShape.of(spec), search=spec.search
                )
                self._add_graph(stages, spec.feature, view, built, pooled=pooled)
        known = {(head.spec.feature, head.spec.view) for head in registry.heads("vector")}
        for feature in self._job.features:
            for view in feature.graphs:
                if feature.feature not in behind or (feature.feature, view) in known:
                    pooled = registry.head("vector", feature.feature, view).spec.entity == "item"
                    self._add_graph(stages, feature.feature, view, self._job.graph, pooled=pooled)
        return list(stages.values())

    def codes(self) -> list[CodesStage]:
        """Semantic ids that the store holds, by their codebooks, and those named that it lacks."""
        wanted: dict[tuple[str, str], SemanticIdOptions] = {}
        for head in FeatureRegistry(self._store).heads("codes"):
            spec = head.spec
            if isinstance(spec, CodesSpec):
                wanted[spec.feature, spec.view] = self._job.semantic_ids.model_copy(
                    update={
                        "quantizer": spec.origin,
                        "num_levels": spec.num_levels,
                        "codebook_size": spec.codebook_size,
                        "beam_size": spec.beam_size,
                    }
                )
        for feature in self._job.features:
            for view in feature.codes:
                wanted.setdefault((feature.feature, view), self._job.semantic_ids)
        return [CodesStage(self._store, *name, options, self._watch) for name, options in wanted.items()]

    def _add_graph(
        self,
        stages: dict[str, GraphStage],
        feature: str,
        view: str,
        options: GraphOptions,
        *,
        pooled: bool,
    ) -> None:
        stage = GraphStage(
            self._store,
            feature,
            view,
            "mean_of_train_items" if pooled else "own",
            options,
            self._tools.open_builder(options.search),
            self._watch,
        )
        stages.setdefault(stage.name, stage)
