"""Version of this product, for manifests, run cards and messages."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def product_version() -> str:
    """Version of the installed product; ``unknown`` when run from a checkout that was never installed."""
    try:
        return version("cot-featurestore")
    except PackageNotFoundError:
        return "unknown"
