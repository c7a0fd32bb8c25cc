"""What the gates of a project need from other packages: its probe."""

from typing import TYPE_CHECKING

from cli.project import Project
from featurestore.errors import missing_extra

if TYPE_CHECKING:
    from featurestore.gates.probe import Probe


def project_probe(project: Project) -> "Probe | None":
    """The frozen model that ``gates.probe`` names, or None. It is loaded when a release is measured.

    Raises:
        SetupError: If torch or safetensors is not installed.
    """
    folder = project.config.gates.probe
    if folder is None:
        return None
    try:
        from recommender.probe import FrozenProbe
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "torch", "train") from error
    return FrozenProbe(project.path(folder))
