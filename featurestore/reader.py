"""The reader: open a store, open a release, read what it pins.

    release = open_store("store").release("production")
    release.embeddings("item_cot").to_torch()

A release never changes while it is open: every read names the pinned version. Works without torch and
without any model library.
"""

from featurestore.embeddings import Embeddings, require_same_space
from featurestore.id_maps import IdMap
from featurestore.neighbor_graph import NeighborGraph
from featurestore.release import ReleaseCatalog
from featurestore.release_reader import Release
from featurestore.store import Store
from featurestore.stores import connect

__all__ = [
    "Embeddings",
    "FeatureStore",
    "IdMap",
    "NeighborGraph",
    "Release",
    "open_store",
    "require_same_space",
]


def open_store(uri: str) -> "FeatureStore":
    """Open a store for reading.

    Args:
        uri: A folder or ``s3://bucket/prefix``.

    Raises:
        UsageError: If the address is of another kind.
    """
    return FeatureStore(connect(uri))


class FeatureStore:
    """A store as its readers see it: releases and aliases."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._catalog = ReleaseCatalog(store)

    @property
    def uri(self) -> str:
        """Where the store is."""
        return self._store.uri

    def releases(self) -> list[int]:
        """Numbers of all releases, ascending."""
        return self._catalog.numbers()

    def aliases(self) -> dict[str, int]:
        """Alias → release number."""
        return self._catalog.aliases()

    def release(self, name: str = "production") -> "Release":
        """Open a release.

        Args:
            name: An alias, or a release number such as ``"17"``.

        Raises:
            MissingVersionError: Listing the aliases and releases there are.
        """
        return Release(self._store, self._catalog.resolve(name))
