"""Names of graph builders."""

import numpy as np
import pytest

from featurestore.errors import SetupError, UnknownNameError, UsageError
from featurestore.graphs import BUILDERS, open_builder
from featurestore.spec import HnswSearch


def test_every_listed_builder_opens_under_its_own_name() -> None:
    assert [open_builder(name).name for name in BUILDERS] == list(BUILDERS)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown graph builder 'exakt'\. Did you mean 'exact'\?"):
        open_builder("exakt")
    with pytest.raises(UnknownNameError, match=r"unknown device 'tpu'\..* Known: cpu, gpu\."):
        open_builder("exact", "tpu")


def test_the_exact_builder_refuses_a_gpu() -> None:
    with pytest.raises(UsageError, match="'exact' runs on the CPU only") as caught:
        open_builder("exact", "gpu")
    assert caught.value.hint == "Use --builder faiss_knn, or name none."


def test_without_a_gpu_faiss_says_what_to_install() -> None:
    import faiss
    import numpy as np

    if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0:
        pytest.skip("this machine has a GPU")
    with pytest.raises(SetupError, match="FAISS finds no GPU here") as caught:
        open_builder("faiss_knn", "gpu").build(np.eye(3, dtype=np.float32), 1)
    assert "faiss-gpu" in caught.value.hint


def test_search_and_device_choose_the_builder() -> None:
    assert open_builder().name == "blocked"
    assert open_builder(search=HnswSearch()).name == "faiss_knn"
    assert open_builder(device="gpu").name == "faiss_knn"


def test_an_exact_builder_refuses_an_approximate_search() -> None:
    with pytest.raises(UsageError, match="'blocked' searches exactly, not by hnsw"):
        open_builder("blocked", search=HnswSearch())


def test_hnsw_has_no_gpu_index() -> None:
    with pytest.raises(SetupError, match="no HNSW index for GPUs"):
        open_builder(device="gpu", search=HnswSearch()).build(np.eye(3, dtype=np.float32), 1)
