"""The section ``[refresh]`` of a project: what a night makes, for whom, when, and how it is released."""

from typing import Annotated

from pydantic import Field

from featurestore.spec import Frozen, Name
from llm_jobs.due import DuePolicy

_Word = Annotated[str, Field(min_length=1)]


class FeatureConfig(Frozen):
    """``[refresh.features.<name>]``: a prompt, item_text or user_text, and what is made of its texts."""

    model: str | None = None
    """Who writes; by default the model of ``[generate]``."""
    where: str | None = None
    """Only entities that meet this SQL condition on their columns and ``degree``; other texts stay."""
    limit: int | None = Field(default=None, ge=1)
    """Entities a night at most, the first in id order."""
    due: DuePolicy = DuePolicy()
    """When a user's text is due that is outdated because of events alone."""
    views: tuple[Name, ...] | None = None
    """Views to encode; all if left out."""
    graphs: tuple[Name, ...] = ()
    """Views of which kNN graphs are built. Graphs that the store holds are kept current anyway."""
    semantic_ids: tuple[Name, ...] = ()
    """Views of which semantic ids are made. Those that the store holds are kept current anyway."""


class RefreshConfig(Frozen):
    """What ``featurestore refresh`` does."""

    alias: str = "production"
    """Names the release in the end."""
    canary: str = "canary"
    """With ``--canary``, names the release while it is checked."""
    check: tuple[_Word, ...] = ()
    """Command and arguments that must end with 0 before a release is promoted, run in the project's folder;
    ``{release}`` in an argument becomes its number."""
    features: dict[Name, FeatureConfig] = Field(default_factory=dict[Name, FeatureConfig])
    """By default the prompt of ``[generate]``."""
