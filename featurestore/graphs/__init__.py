"""Graph builders, one file each; a builder's name is its file's name."""

from featurestore.errors import UnknownNameError, UsageError
from featurestore.graph import GraphBuilder
from featurestore.spec import ExactSearch, NeighborSearch

BUILDERS = ("blocked", "exact", "faiss_knn")
DEVICES = ("cpu", "gpu")


def open_builder(
    name: str | None = None, device: str = "cpu", search: NeighborSearch | None = None
) -> GraphBuilder:
    """The builder of a name.

    Args:
        name: One of `BUILDERS`; None: ``blocked`` for exact search on the CPU, ``faiss_knn`` for all else.
        device: ``cpu``, or ``gpu`` for builders that can use one.
        search: Exact if None.

    Raises:
        UnknownNameError: Listing the known builders or devices.
        UsageError: If the builder has no use for a GPU, or searches exactly only.
    """
    search = search or ExactSearch()
    if device not in DEVICES:
        raise UnknownNameError("device", device, DEVICES)
    exact_on_cpu = device == "cpu" and search.method == "exact"
    name = name or ("blocked" if exact_on_cpu else "faiss_knn")
    if name not in BUILDERS:
        raise UnknownNameError("graph builder", name, BUILDERS)
    if name == "faiss_knn":
        from featurestore.graphs.faiss_knn import FaissGraphBuilder

        return FaissGraphBuilder(search, "gpu" if device == "gpu" else "cpu")
    if not exact_on_cpu:
        what = "runs on the CPU only" if device != "cpu" else f"searches exactly, not by {search.method}"
        raise UsageError(f"the builder {name!r} {what}.", hint="Use --builder faiss_knn, or name none.")
    if name == "blocked":
        from featurestore.graphs.blocked import BlockedGraphBuilder

        return BlockedGraphBuilder()
    from featurestore.graphs.exact import ExactGraphBuilder

    return ExactGraphBuilder()
