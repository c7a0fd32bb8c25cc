"""The proof that nobody is named any more: rows of every version, and bytes of every file."""

import mmap
from collections.abc import Collection
from pathlib import Path

import polars as pl

from featurestore import id_maps
from featurestore.erasure.rows import holdings
from featurestore.erasure.subject import Subject
from featurestore.erasure.tables import PAST, TableEraser
from featurestore.objects import HasLocalFiles
from featurestore.store import Store


def needles(store: Store, subject: Subject) -> tuple[bytes, ...]:
    """The byte strings to search for: those of the users' ids that no file holds by chance."""
    maps = [id_maps.load(store, entity) for entity in ("user", "item")]
    others = [each for id_map in maps for each in id_map.ids if each not in subject.user_ids]
    return subject.byte_forms(pl.Series(others, dtype=pl.String))


def versions_that_name(store: Store, eraser: TableEraser) -> list[str]:
    """``table, version 7`` of every stored version that still holds rows about the users, hidden ones too."""
    found: list[str] = []
    tables = set(store.tables())
    for holding in holdings(store):
        for table in (holding.table, f"{PAST}{holding.table}"):
            if table in tables:
                versions = (each.version for each in store.versions(table))
                bad = (v for v in versions if eraser.is_concerned(holding.at(table), v))
                found += [f"{table}, version {version}" for version in bad]
    return found


def files_that_name(store: Store, searched: Collection[bytes]) -> list[str]:
    """Paths of all objects and files of tables of a store that hold one of some byte strings."""
    if not searched:
        return []
    return [path for path in sorted(store.objects.sizes("")) if _holds(store, path, searched)]


def _holds(store: Store, path: str, searched: Collection[bytes]) -> bool:
    objects = store.objects
    if isinstance(objects, HasLocalFiles) and Path(store.uri).is_dir():
        return contains(objects.local_file(path), searched)
    data = objects.read(path)
    return any(needle in data for needle in searched)


def contains(path: Path, searched: Collection[bytes]) -> bool:
    """Whether a file holds one of some byte strings; a compressed one does not show them."""
    if not searched:
        return False
    with path.open("rb") as file:
        if not path.stat().st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return any(data.find(needle) >= 0 for needle in searched)
