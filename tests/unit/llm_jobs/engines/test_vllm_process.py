import os

import pytest

from llm_jobs.engines import EngineOptions
from llm_jobs.engines.vllm_process import set_environment


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})


def test_a_cpu_engine_may_use_every_core_this_process_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 1, 2}, raising=False)
    set_environment(EngineOptions(kv_cache_gib=1.6))
    assert os.environ["VLLM_CPU_OMP_THREADS_BIND"] == "1,2,3"
    assert os.environ["VLLM_CPU_KVCACHE_SPACE"] == "2"


def test_what_the_user_has_set_stays() -> None:
    os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
    set_environment(EngineOptions())
    assert os.environ["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
