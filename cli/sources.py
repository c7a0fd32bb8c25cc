"""Which files ``ingest`` and ``refresh`` read, and how: options come before the project's configuration."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.errors import UsageError

if TYPE_CHECKING:
    from cli.config import IngestConfig
    from cli.project import Project
    from featurestore.ingest import IngestRequest
    from featurestore.sources.source import Role

_NO_FILES: "Mapping[Role, Path | None]" = {}
_NOT_GIVEN: Mapping[str, object] = {}


def ingest_request(
    project: "Project",
    *,
    files: "Mapping[Role, Path | None]" = _NO_FILES,
    source_format: str | None = None,
    columns: Sequence[str] = (),
    split: Mapping[str, object] = _NOT_GIVEN,
    sessions: Mapping[str, object] = _NOT_GIVEN,
) -> "IngestRequest":
    """What to ingest.

    Args:
        project: The project.
        files: Files that options name; those of other roles are the project's.
        source_format: By default the project's.
        columns: ``FILE.OURS=THEIRS``, beyond the project's.
        split: Fields of the split policy that options give; None stands for the project's.
        sessions: The same of the session policy.

    Raises:
        UsageError: If a column mapping is no mapping.
        ConfigError: If the split, or the sessions, are none.
    """
    from featurestore.ingest import IngestRequest

    config = project.config.ingest
    policies = _policies(project, split=split, sessions=sessions)
    return IngestRequest(
        files=_files(project, files),
        format=source_format or config.format,
        columns=_columns(project, columns),
        split=policies.split,
        sessions=policies.sessions,
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


def _policies(project: "Project", **given: Mapping[str, object]) -> "IngestConfig":
    """The project's policies of some names, with what options give."""
    from cli.config import parse_config

    values: dict[str, dict[str, object]] = {}
    for name, fields in given.items():
        stated = {field: value for field, value in fields.items() if value is not None}
        values[name] = getattr(project.config.ingest, name).model_dump() | stated
    return parse_config({"ingest": values}, origin="options of ingest").ingest
