import pytest
import torch
from toy_store import fill

from featurestore.reader import FeatureStore
from featurestore.stores.memory import MemoryStore


@pytest.fixture(autouse=True)
def _one_thread():
    """Test runners share the cores; torch's threads would wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> FeatureStore:
    """The toy store in memory, opened for reading."""
    store = MemoryStore("toy")
    fill(store, tmp_path_factory.mktemp("toy"))
    return FeatureStore(store)
