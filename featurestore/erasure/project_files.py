"""Where the files of a project, beside the store, still name users; and which files nobody can tell it of.

Files that are ingested are read as `featurestore ingest` reads them, whatever their format, and their cells
are compared with the ids. Other text is searched for ids as whole cells: between delimiters, line ends or
quotation marks. Other files, compressed or binary, may hide a name: they are listed.
"""

import json
import mmap
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from featurestore import columns as c
from featurestore import row_values
from featurestore.erasure.objects import local_files
from featurestore.erasure.scan import contains
from featurestore.errors import FeatureStoreError
from featurestore.ids import ExternalId
from featurestore.ingest import IngestRequest
from featurestore.sources import read_source
from featurestore.sources.source import ROLES, Role, SourceTable

_CELL_ENDS: Final = rb"""[,;\t|"'\r\n]|::"""
_TOLD_BY: Final = 64 * 1024
"""Bytes of a file that tell whether it is text."""
_NO_TEXT: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class ProjectFiles:
    """What a search of files found.

    Attributes:
        naming: Files that name one of the users, sorted.
        not_searched: What may name them unseen: a file, why it could not be read, or a folder and how many of
            its files are binary or compressed.
    """

    naming: tuple[Path, ...]
    not_searched: tuple[str, ...]


def search_project(
    folder: Path,
    user_ids: Collection[ExternalId],
    *,
    sources: IngestRequest | None,
    byte_forms: Collection[bytes],
    without: Collection[Path],
) -> ProjectFiles:
    """Look for users in the files of a project, and in those that it ingests.

    Reads every file once; of those that are ingested it holds the rows in memory, as an ingest does.

    Args:
        folder: The project's.
        user_ids: Whom to look for, ids of any length.
        sources: What the project ingests; None if nothing.
        byte_forms: Byte strings that mean a user wherever they stand.
        without: Folders that are left out, such as that of the store.
    """
    cells = _as_cells(user_ids)
    ingested, unread = _search_sources(sources, user_ids) if sources else ({}, [])
    naming = {path for path, is_named in ingested.items() if is_named}
    binary: list[Path] = []
    for path in [*ingested, *_files(folder, {*without, *ingested})]:
        if contains(path, byte_forms):
            naming.add(path)
        elif path in ingested:
            continue
        elif not _is_text(path):
            binary.append(path)
        elif _has_cell(path, cells):
            naming.add(path)
    return ProjectFiles(tuple(sorted(naming)), (*unread, *_by_folder(folder, binary)))


def _search_sources(
    sources: IngestRequest, user_ids: Collection[ExternalId]
) -> tuple[dict[Path, bool], list[str]]:
    """Whether each ingested file names a user; and the files that could not be read."""
    wanted = set(user_ids)
    if sources.sessions.by == "gap":  # sessions are called after their user
        wanted |= {each.rpartition("/")[0] for each in user_ids}
    found: dict[Path, bool] = {}
    unread: list[str] = []
    for role in ROLES:
        path = sources.files.get(role)
        if path is None or not path.exists():
            continue
        try:
            table = read_source(sources.format, role, path, sources.columns.get(role, {}))
            found[path] = found.get(path, False) or _names_one(table, role, wanted)
        except FeatureStoreError as error:
            unread.append(f"{path} ({error.message})")
    return found, unread


def _names_one(table: SourceTable, role: Role, wanted: Collection[ExternalId]) -> bool:
    """Whether a cell is one of some ids: of the user's column, or of any text about items."""
    schema = table.rows.schema
    if role == "items":
        names = [name for name, dtype in schema.items() if dtype == pl.String and name != c.ITEM_ID]
    else:
        names = [c.USER_ID] if c.USER_ID in schema else []
    for name in names:
        if table.rows.select(row_values.external_id(name, schema[name]).is_in(list(wanted)).any()).item():
            return True
    cells = _as_cells(wanted)
    return any(cells.search(line.raw.encode()) for line in table.rejected)


def _files(folder: Path, without: Collection[Path]) -> Iterator[Path]:
    left_out = [path.resolve() for path in without]
    for path in local_files(folder):
        if not any(path.resolve().is_relative_to(other) for other in left_out):
            yield path


def _as_cells(ids: Iterable[ExternalId]) -> re.Pattern[bytes]:
    """Ids as whole cells of a line, blanks around them left aside."""
    forms = sorted({form for each in ids for form in (each.encode(), json.dumps(each)[1:-1].encode())})
    listed = b"|".join(map(re.escape, forms))
    return re.compile(rb"(?:\A|" + _CELL_ENDS + rb") *(?:" + listed + rb") *(?:\Z|" + _CELL_ENDS + rb")")


def _is_text(path: Path) -> bool:
    with path.open("rb") as file:
        begin = file.read(_TOLD_BY)
    return not begin.startswith(_GZIP) and _NO_TEXT.search(begin) is None


def _has_cell(path: Path, cells: re.Pattern[bytes]) -> bool:
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return cells.search(data) is not None


def _by_folder(root: Path, paths: Iterable[Path]) -> Iterator[str]:
    """A line for each file, or for each folder with several; a hidden folder counts as one."""
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        parts = path.relative_to(root).parts[:-1]
        hidden = next((place for place, part in enumerate(parts) if part.startswith(".")), None)
        folders[path.parent if hidden is None else root.joinpath(*parts[: hidden + 1])].append(path)
    for folder, files in sorted(folders.items()):
        if len(files) == 1:
            yield f"{files[0]} (binary or compressed)"
        else:
            yield f"{folder} ({len(files):,} files that are binary or compressed)"
