"""Graph builders, one file each; a builder's name is its file's name."""

from featurestore.errors import UnknownNameError, UsageError
from featurestore.graph import GraphBuilder

BUILDERS = ("blocked", "exact", "faiss_knn")
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

        return FaissGraphBuilder(device="gpu" if device == "gpu" else "cpu")
    if name not in BUILDERS:
        raise UnknownNameError("graph builder", name, BUILDERS)
    if device != "cpu":
        raise UsageError(
            f"the builder {name!r} runs on the CPU only.", hint="Use --builder faiss_knn with --device gpu."
        )
    if name == "blocked":
        from featurestore.graphs.blocked import BlockedGraphBuilder

        return BlockedGraphBuilder()
    from featurestore.graphs.exact import ExactGraphBuilder

    return ExactGraphBuilder()
