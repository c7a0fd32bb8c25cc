"""A project: the folder that holds ``featurestore.toml``, and what its configuration points to."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cli.config import CONFIG_FILE, ProjectConfig, load_config
from featurestore.store import Store


@dataclass(frozen=True)
class Project:
    """An opened project.

    Attributes:
        root: Its folder.
        config: Its configuration.
    """

    root: Path
    config: ProjectConfig

    @property
    def store_uri(self) -> str:
        """Where the store is; a relative folder is relative to the project."""
        uri = self.config.store.uri
        return uri if "://" in uri else str(self.root / uri)

    @cached_property
    def store(self) -> Store:
        """The project's store, connected on first use."""
        from featurestore.stores import connect

        return connect(self.store_uri)

    @property
    def work_folder(self) -> Path:
        """Logs and locks of jobs that run on this machine."""
        return self.root / ".featurestore"

    def path(self, name: str) -> Path:
        """A file named in the configuration, relative to the project's folder."""
        return self.root / name


def open_project(folder: Path) -> Project:
    """Open the project of a folder.

    Raises:
        ConfigError: If the folder holds no ``featurestore.toml``, or one that cannot be used.
    """
    return Project(root=folder, config=load_config(folder / CONFIG_FILE))
