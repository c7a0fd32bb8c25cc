"""Store adapters: each implements `featurestore.store.Store`."""

from featurestore.errors import UsageError
from featurestore.store import Store
from featurestore.store_format import FORMAT


def connect(uri: str, *, oldest_writable: int = FORMAT) -> Store:
    """The store at ``uri``. Nothing is read before the first use; a folder is made on the first write.

    Args:
        uri: A folder or ``s3://bucket/prefix`` for LanceDB; ``memory://name`` for a new, empty store that
            ends with this process.
        oldest_writable: Stores of an older format are read only; migrations alone write one.

    Raises:
        UsageError: If the address is of another kind.
    """
    scheme, separator, name = uri.partition("://")
    if separator and scheme == "memory":
        from featurestore.stores.memory import MemoryStore

        return MemoryStore(name or "scratch")
    if not uri or (separator and scheme not in {"s3", "file"}):
        raise UsageError(
            f"a store's address is a folder, s3://bucket/prefix or memory://name, got {uri!r}.",
            hint="Set [store] uri in featurestore.toml.",
        )
    from featurestore.stores.lancedb_store import LanceStore

    return LanceStore(name if scheme == "file" else uri, oldest_writable=oldest_writable)
