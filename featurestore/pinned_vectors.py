"""The vectors that a release pins, mapped into memory. Whether a reader may see them is asked elsewhere."""

from featurestore.embeddings import Embeddings
from featurestore.errors import MissingVersionError
from featurestore.release import TablePin
from featurestore.snapshot import read_snapshot
from featurestore.spec import VectorLike
from featurestore.store import ObjectStore


def open_vectors(objects: ObjectStore, pin: TablePin) -> Embeddings:
    """Vectors of a pin: milliseconds, whatever their size.

    Raises:
        MissingVersionError: If no snapshot was made of them.
        StoreError: If the snapshot is damaged or absent.
    """
    if pin.snapshot is None or not isinstance(pin.spec, VectorLike):
        raise MissingVersionError(f"there is no vector snapshot of {pin.table!r}, version {pin.version}.")
    ids, vectors = read_snapshot(objects, pin.snapshot)
    return Embeddings(ids, vectors, spec=pin.spec, event_sets=pin.event_sets)
