"""Manifests as far as they can be read: one that is damaged stops only those who need it.

Who lists releases goes on without it and names it. Who removes versions of tables does not know what it pins,
so that every version stays until the file is restored.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from featurestore.errors import DamagedFileError
from featurestore.release import Manifest, ReleaseCatalog, manifest_path


@dataclass(frozen=True, slots=True)
class DamagedRelease:
    """A release whose manifest cannot be read.

    Attributes:
        release: Its number.
        path: The manifest's, relative to the store.
        found: What is wrong with it.
    """

    release: int
    path: str
    found: str

    def __str__(self) -> str:
        return (
            f"release {self.release} is left out: its manifest {self.path!r} is damaged. Restore the file "
            "from a copy; `featurestore verify --all` says what is wrong with it."
        )


@dataclass(frozen=True, slots=True)
class ReadableManifests:
    """What could be read of some releases.

    Attributes:
        manifests: Those that can be read, in the order asked for.
        damaged: The others.
    """

    manifests: tuple[Manifest, ...]
    damaged: tuple[DamagedRelease, ...]

    @property
    def if_all(self) -> tuple[Manifest, ...] | None:
        """The manifests; None if one is missing, so that nobody knows what all releases pin."""
        return None if self.damaged else self.manifests


def read_manifests(catalog: ReleaseCatalog, numbers: Iterable[int]) -> ReadableManifests:
    """Read the manifests of some releases, leaving out those that are damaged.

    Raises:
        MissingVersionError: If there is no release of one of the numbers.
        NewerStoreError: If a newer product wrote one.
    """
    manifests: list[Manifest] = []
    damaged: list[DamagedRelease] = []
    for number in numbers:
        try:
            manifests.append(catalog.manifest(number))
        except DamagedFileError as error:
            damaged.append(DamagedRelease(number, manifest_path(number), error.message))
    return ReadableManifests(tuple(manifests), tuple(damaged))
