"""Thresholds of the gates: the section ``[gates]`` of a project's configuration."""

from typing import Annotated, Final

from pydantic import Field, model_validator

from featurestore.gates.strata import Stratum
from featurestore.spec import Frozen

Share = Annotated[float, Field(ge=0.0, le=1.0)]

DEFAULT_STRATA: Final = (
    Stratum(name="no events", max_degree=0),
    Stratum(name="tail", min_degree=1, max_degree=9),
    Stratum(name="middle", min_degree=10, max_degree=49),
    Stratum(name="head", min_degree=50),
)


class GatePolicy(Frozen):
    """Thresholds of the gates.

    What nothing can excuse has none: repeated ids, vectors with NaN or of length zero, tables that were not
    made of each other, events of another split.
    """

    min_coverage: Share = 0.0
    """Share of entities that must have a good text, per text feature."""
    strata: tuple[Stratum, ...] = DEFAULT_STRATA
    """Entities by degree; each stratum has a ``min_coverage`` of its own."""
    max_failure_rate: Share = 0.2
    """Share of a feature's rows that may have failed."""
    max_refusal_rate: Share = 0.05
    """Share of a feature's rows in which the model declined."""
    max_think_leaks: Share = 0.005
    """Share of good texts in which a model may think aloud."""
    max_duplicate_text_share: Share = 0.5
    """Share of good texts that may repeat another one."""
    max_lost_texts: Share = 0.05
    """Share of the entities with a good text in the parent release that may have none now."""

    min_compared: int = Field(default=100, ge=1)
    """Rows that a release and its parent must have in common before shares of them are compared: of ten rows
    one is 10 %."""
    max_unexplained_moves: Share = 0.0
    """Share of vectors that may differ from the parent's though text and encoder are the same."""
    min_centroid_cosine: float = Field(default=0.9, ge=-1.0, le=1.0)
    """Cosine between the mean vector and the parent's."""
    max_mmd: float = Field(default=0.15, ge=0.0, le=1.5)
    """Maximum mean discrepancy between the vectors and the parent's, on a sample."""
    max_knn_churn: Share = 0.3
    """Share of nearest neighbours in the parent that may be none any more."""

    max_stale_edges: Share = 0.0
    """Share of a graph's edges that may not be of the vectors beside it, on a sample."""
    max_isolated_share: Share = 0.05
    """Share of a graph's nodes that may have no edge."""
    max_hub_edge_share: Share = 0.7
    """Share of a graph's edges that may end in nodes of more than five times the mean in-degree."""
    min_connected_share: Share = 0.5
    """Share of a graph's nodes that one connected component must hold, directions left aside."""

    max_code_collisions: Share = 0.5
    """Share of items that may share all their codes with another one."""
    max_code_churn: Share = 0.1
    """Share of items whose codes may differ from the parent's."""

    required_features: tuple[str, ...] = ()
    """Features (``item_cot``) or views (``lightgcn.top``) that a release must have before an alias is moved
    to it; the canary of a refresh may name one without."""

    probe: str | None = Field(default=None, min_length=1)
    """Folder of a trained model, relative to the project, that is scored with the new vectors."""
    max_probe_drop: Share = 0.05
    """Share of its validation metric that the probe may lose against the parent's vectors."""

    @model_validator(mode="after")
    def _name_strata_once(self) -> "GatePolicy":
        names = [stratum.name for stratum in self.strata]
        if len(set(names)) < len(names):
            raise ValueError(f"each stratum needs a name of its own, got {', '.join(names)}")
        return self
