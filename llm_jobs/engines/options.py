"""How an engine runs on this machine: the ``[engine]`` section of featurestore.toml."""

from typing import Literal

from pydantic import Field

from featurestore.spec import Frozen


class EngineOptions(Frozen):
    """How to run an engine on this machine. None of it may change what a text says.

    An engine reads what concerns it: a server knows its own memory, a CPU has no GPUs to share.
    """

    max_num_seqs: int | None = Field(default=None, ge=1)
    """Requests answered at once. None: vLLM 256 on a GPU, 64 on CPU; transformers 64 and 32; a server 32."""
    max_model_len: int | None = Field(default=None, ge=64)
    """Context to start with, tokens; None: the entry's, or the weights' own if shorter."""
    kv_cache_gib: float = Field(default=2.0, gt=0.0)
    """Key-value cache, GiB. vLLM on a GPU takes what ``gpu_memory_share`` leaves instead."""
    kv_cache_blocks: int | None = Field(default=None, ge=1)
    """Blocks of vLLM's cache whatever memory there is (a block: 32 tokens on CPU, 16 on a GPU), for
    measurements of what a small cache costs; None: as many as fit."""
    gpu_memory_share: float = Field(default=0.9, gt=0.0, le=1.0)
    """Share of each GPU's memory that vLLM may take."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs that share one copy of the model (vLLM)."""
    data_parallel_size: int = Field(default=1, ge=1)
    """Copies of the model, each on ``tensor_parallel_size`` GPUs (vLLM)."""
    load_format: Literal["auto", "dummy"] = "auto"
    """``dummy``: random weights, for measurements of speed (vLLM)."""
    request_seconds: float = Field(default=600.0, gt=0.0)
    """How long a server may take for one answer."""
