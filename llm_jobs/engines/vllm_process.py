"""What surrounds a vLLM engine: its environment, its arguments, its processes. Imports no vLLM."""

import multiprocessing
import os
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from featurestore.errors import SetupError
from llm_jobs.engines.options import EngineOptions
from llm_jobs.entries import ModelEntry
from llm_jobs.machine import Machine
from llm_jobs.model_folder import adapter_rank, context_length

_CPU_BLOCK_SIZE = 32
"""Tokens per cache block on CPU. The default of 128 is longer than many prompts, which then share nothing."""
_CPU_SEQUENCES = 64
_CPU_BATCH_TOKENS = 4096
"""Prompt tokens computed at once, at least. A prompt must not be computed in parts: the worker then rewinds
its seeded generator, which CPU generators cannot do, and vLLM 0.32 dies of it."""
_GPU_SEQUENCES = 256
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
_PATIENCE_SECONDS = 5.0


def require_main_process() -> None:
    """Refuse to start an engine while a spawned process is still importing the main script.

    Raises:
        SetupError: If the script starts an engine at import, which would start engines without end.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SetupError(
            "an engine was started while its own worker process imported the main script.",
            hint='Put the code that starts it under: if __name__ == "__main__":',
        )


def set_environment(options: EngineOptions) -> None:
    """Environment variables that vLLM reads when it is imported; what the user has set stays as it is."""
    wanted = {
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # this process has threads: a fork of it may hang
        "VLLM_CPU_KVCACHE_SPACE": str(max(1, round(options.kv_cache_gib))),
        "VLLM_NO_USAGE_STATS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": "ignore",  # of its worker processes; this one's filters are set already
    }
    if hasattr(os, "sched_getaffinity"):
        # Left to itself, vLLM computes on one thread per physical core: half of what a small machine has.
        wanted["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def num_sequences(options: EngineOptions, machine: Machine) -> int:
    """Requests decoded at once."""
    return options.max_num_seqs or (_GPU_SEQUENCES if machine.gpus else _CPU_SEQUENCES)


def engine_arguments(
    entry: ModelEntry, folder: Path, options: EngineOptions, machine: Machine
) -> dict[str, Any]:
    """Arguments of vLLM's AsyncEngineArgs for this model on this machine."""
    longest = context_length(folder) or entry.context
    arguments: dict[str, Any] = {
        "model": str(folder),
        "dtype": entry.dtype,
        "max_model_len": min(options.max_model_len or entry.context, longest),
        "max_num_seqs": num_sequences(options, machine),
        "enable_prefix_caching": True,
        "scheduling_policy": "priority",
        "load_format": options.load_format,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "seed": 0,
        "quantization": entry.quantization,
        "num_gpu_blocks_override": options.kv_cache_blocks,
        "tensor_parallel_size": options.tensor_parallel_size,
        "data_parallel_size": options.data_parallel_size,
    }
    if entry.adapter is not None:
        rank = adapter_rank(Path(entry.adapter))
        arguments |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": _allowed_rank(rank)}
    if machine.gpus:
        return arguments | {"gpu_memory_utilization": options.gpu_memory_share}
    return arguments | {
        "block_size": _CPU_BLOCK_SIZE,
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(arguments["max_model_len"], _CPU_BATCH_TOKENS),
    }


def _allowed_rank(rank: int) -> int:
    """The smallest size of vLLM's adapter slots that takes an adapter of this rank."""
    return next((allowed for allowed in _LORA_RANKS if allowed >= rank), rank)


def children() -> set[BaseProcess]:
    """Processes that this one has started through multiprocessing and that still run."""
    return set(multiprocessing.active_children())


def end_processes(processes: set[BaseProcess]) -> None:
    """End processes that have not ended by themselves: first politely, then not."""
    for stop in (BaseProcess.terminate, BaseProcess.kill):
        for process in processes:
            if process.is_alive():
                stop(process)
        for process in processes:
            process.join(_PATIENCE_SECONDS)
