"""Graph builders, one file each; a builder's name is its file's name."""

from featurestore.errors import UnknownNameError, UsageError
from featurestore.graph import GraphBuilder

BUILDERS = ("exact", "faiss_knn")
DEVICES = ("cpu", "gpu")


def open_builder(name: str, device: str = "cpu") -> GraphBuilder:
    """The builder of a name.

    Args:
        name: One of `BUILDERS`.
        device: ``cpu``, or ``gpu`` for builders that can use one.

    Raises:
        UnknownNameError: Listing the known builders or devices.
        UsageError: If the builder has no use for a GPU.
    """
    if device not in DEVICES:
        raise UnknownNameError("device", device, DEVICES)
    if name == "faiss_knn":
        from featurestore.graphs.faiss_knn import FaissGraphBuilder

        return FaissGraphBuilder("gpu" if device == "gpu" else "cpu")
    if name != "exact":
        raise UnknownNameError("graph builder", name, BUILDERS)
    if device != "cpu":
        raise UsageError(
            "the builder 'exact' runs on the CPU only.", hint="Use --builder faiss_knn with --device gpu."
        )
    from featurestore.graphs.exact import ExactGraphBuilder

    return ExactGraphBuilder()
