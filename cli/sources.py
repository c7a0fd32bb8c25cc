"""Which files ``ingest`` and ``refresh`` read, and how: options come before the project's configuration."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.errors import UsageError

if TYPE_CHECKING:
    from cli.project import Project
    from featurestore.ingest import IngestRequest
    from featurestore.sources.source import Role
    from featurestore.splits import SplitPolicy

_NO_FILES: "Mapping[Role, Path | None]" = {}
_NO_SPLIT: Mapping[str, object] = {}


def ingest_request(
    project: "Project",
    *,
    files: "Mapping[Role, Path | None]" = _NO_FILES,
    source_format: str | None = None,
    columns: Sequence[str] = (),
    split: Mapping[str, object] = _NO_SPLIT,
) -> "IngestRequest":
    """What to ingest.

    Args:
        project: The project.
        files: Files that options name; those of other roles are the project's.
        source_format: By default the project's.
        columns: ``FILE.OURS=THEIRS``, beyond the project's.
        split: Fields of the split policy that options give; None stands for the project's.

    Raises:
        UsageError: If a column mapping is no mapping.
        ConfigError: If the split is none.
    """
    from featurestore.ingest import IngestRequest

    config = project.config.ingest
    return IngestRequest(
        files=_files(project, files),
        format=source_format or config.format,
        columns=_columns(project, columns),
        split=_split(project, split),
    )


def _files(project: "Project", given: "Mapping[Role, Path | None]") -> "dict[Role, Path]":
    config = project.config.ingest
    configured: dict[Role, str | None] = {
        "items": config.items,
        "users": config.users,
        "interactions": config.interactions,
    }
    files: dict[Role, Path] = {}
    for role, name in configured.items():
        if (path := given.get(role)) is not None:
            files[role] = path
        elif name is not None:
            files[role] = project.path(name)
    return files


def _columns(project: "Project", pairs: Sequence[str]) -> "dict[Role, dict[str, str]]":
    configured = project.config.ingest.columns
    columns: dict[Role, dict[str, str]] = {
        "items": dict(configured.items),
        "users": dict(configured.users),
        "interactions": dict(configured.interactions),
    }
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        role, dot, name = ours.partition(".")
        if not (equals and dot and name and theirs and role in columns):
            raise UsageError(
                f"--map is FILE.OURS=THEIRS, got {pair!r}.",
                hint="FILE is items, users or interactions, such as --map items.description=plot.",
            )
        columns[role][name] = theirs
    return columns


def _split(project: "Project", given: Mapping[str, object]) -> "SplitPolicy":
    from cli.config import parse_config

    stated = {name: value for name, value in given.items() if value is not None}
    values = project.config.ingest.split.model_dump() | stated
    return parse_config({"ingest": {"split": values}}, origin="options of ingest").ingest.split
