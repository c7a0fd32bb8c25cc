"""FAISS, loaded when it is first needed."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from featurestore.errors import missing_extra


def load_faiss() -> Any:  # noqa: ANN401 -- FAISS has no types
    """The module.

    Raises:
        SetupError: If it is not installed.
    """
    if find_spec("torch") is not None:
        import_module("torch")  # both bring an OpenMP runtime, and torch's must be loaded first (faiss#2126)
    try:
        import faiss
    except ImportError:
        raise missing_extra("faiss", "faiss-gpu") from None
    return faiss
