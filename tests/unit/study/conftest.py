import pytest
from study_world import small_release

from featurestore.reader import FeatureStore, Release
from featurestore.stores.memory import MemoryStore


@pytest.fixture(scope="session")
def release(tmp_path_factory) -> Release:
    """Forty users of two kinds, twenty items with vectors that tell the kinds apart."""
    store = MemoryStore("study")
    small_release(store, tmp_path_factory.mktemp("study"))
    return FeatureStore(store).release("production")
