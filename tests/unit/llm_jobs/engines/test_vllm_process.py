import json
import os
from pathlib import Path

import pytest

from featurestore.errors import SetupError
from llm_jobs.engines import EngineOptions
from llm_jobs.engines.vllm_process import engine_arguments, set_environment
from llm_jobs.machine import Gpu, Machine
from llm_jobs.models import find_model

_CPU = Machine(32.0, 24.0, 100.0)
_GPU = Machine(64.0, 60.0, 100.0, gpus=(Gpu("NVIDIA H200", 140.0, 139.0),))


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


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 2048}')
    return tmp_path


def test_options_reach_the_engine_on_a_gpu(weights: Path) -> None:
    options = EngineOptions(
        tensor_parallel_size=2,
        data_parallel_size=4,
        gpu_memory_share=0.5,
        max_num_seqs=7,
        max_model_len=1024,
        kv_cache_blocks=99,
    )
    entry = find_model("qwen3-8b", {"qwen3-8b": {"quantization": "awq"}})
    arguments = engine_arguments(entry, weights, options, _GPU)
    assert (arguments["tensor_parallel_size"], arguments["data_parallel_size"]) == (2, 4)
    assert (arguments["gpu_memory_utilization"], arguments["max_num_seqs"]) == (0.5, 7)
    assert (arguments["max_model_len"], arguments["num_gpu_blocks_override"]) == (1024, 99)
    assert arguments["quantization"] == "awq"
    assert "enable_lora" not in arguments


def test_a_cpu_gets_small_blocks_and_whole_prompts(weights: Path) -> None:
    arguments = engine_arguments(find_model("smollm2-135m", {}), weights, EngineOptions(), _CPU)
    assert (arguments["block_size"], arguments["enable_chunked_prefill"]) == (32, False)
    assert arguments["max_num_batched_tokens"] >= arguments["max_model_len"] == 2048
    assert "gpu_memory_utilization" not in arguments


@pytest.mark.parametrize(("rank", "slot"), [(4, 8), (8, 8), (20, 32), (500, 512)])
def test_an_adapter_gets_a_slot_of_its_size(weights: Path, rank: int, slot: int) -> None:
    (weights / "adapter_config.json").write_text(json.dumps({"r": rank}))
    entry = find_model("qwen3-8b", {"qwen3-8b": {"adapter": str(weights)}})
    arguments = engine_arguments(entry, weights, EngineOptions(), _GPU)
    assert (arguments["enable_lora"], arguments["max_lora_rank"]) == (True, slot)


def test_an_adapter_without_a_rank_is_refused(weights: Path) -> None:
    (weights / "adapter_config.json").write_text("{}")
    entry = find_model("qwen3-8b", {"qwen3-8b": {"adapter": str(weights)}})
    with pytest.raises(SetupError, match="names no rank r, but None"):
        engine_arguments(entry, weights, EngineOptions(), _GPU)
