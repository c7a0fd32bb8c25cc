"""Transformers, for machines on which vLLM does not run: continuous batching in one thread of this process.

Transformers brings a continuous batching of its own, but without a seed or a repetition penalty of each
request, and it is slow on a CPU (docs/engines.md). Answers are not held to a
grammar: they are parsed, and asked for again if they do not fit. No prefix is kept between requests.
"""

import threading
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from featurestore.errors import missing_extra
from llm_jobs.engine import Completion, EngineInfo, Request, failed_completion, over_long
from llm_jobs.engines.chat_tokens import load_chat_tokens
from llm_jobs.engines.in_flight import InFlight
from llm_jobs.engines.options import EngineOptions
from llm_jobs.engines.transformers_model import bytes_per_token, end_ids, load_causal_model
from llm_jobs.entries import ModelEntry
from llm_jobs.machine import GIB, look_at_machine
from llm_jobs.model_folder import context_length
from llm_jobs.weights import cache_folder, locate_model, require_memory

if TYPE_CHECKING:
    from llm_jobs.engines.running_batch import RunningSequence

_CPU_SEQUENCES = 32
_GPU_SEQUENCES = 64
_CLOSE_SECONDS = 60.0


@dataclass(order=True, slots=True)
class _Waiting:
    priority: int
    order: int
    request: Request = field(compare=False)
    prompt: list[int] = field(compare=False)


class TransformersEngine:
    """An `LLMEngine` on transformers.

    Args:
        entry: The model; its weights are located, converted or downloaded first.
        options: How to run it on this machine.

    Raises:
        SetupError: If transformers, the weights or the memory are not there, or the model's attention is not
            of the plain kind.
    """

    def __init__(self, entry: ModelEntry, options: EngineOptions) -> None:
        for module in ("torch", "transformers"):
            if find_spec(module) is None:
                raise missing_extra(module, "encode")
        machine = look_at_machine(cache_folder())
        folder = locate_model(entry)
        require_memory(entry, folder, machine, kv_cache_gib=options.kv_cache_gib)
        import torch
        import transformers

        from llm_jobs.engines.running_batch import RunningBatch
        from llm_jobs.engines.slot_cache import SlotCache

        on_gpu = torch.cuda.is_available()
        model = load_causal_model(entry, folder, "cuda" if on_gpu else "cpu")
        cache = SlotCache(bytes_per_token=bytes_per_token(model), max_bytes=int(options.kv_cache_gib * GIB))
        sequences = options.max_num_seqs or (_GPU_SEQUENCES if on_gpu else _CPU_SEQUENCES)
        self._chat = load_chat_tokens(folder, entry.template_options, reasoning=entry.reasoning is not None)
        self._batch = RunningBatch(model, cache, end_ids(model) | self._chat.end_ids, sequences)
        longest = context_length(folder) or entry.context
        self._info = EngineInfo(
            name="transformers",
            version=transformers.__version__,
            device=torch.cuda.get_device_name() if on_gpu else "cpu",
            max_model_len=min(options.max_model_len or entry.context, longest, cache.max_tokens),
            # A few more than are decoded at once, so that a row never waits for the next submit.
            concurrency=sequences * 5 // 4,
        )
        self._in_flight = InFlight()
        self._num_submitted = 0
        self._waiting: list[_Waiting] = []
        self._aborted: set[str] = set()
        self._closed = False
        self._changed = threading.Condition()
        """Guards what is waiting, aborted and closed."""
        self._thread = threading.Thread(target=self._run, name="transformers-batch", daemon=True)
        self._thread.start()

    @property
    def info(self) -> EngineInfo:
        """See `LLMEngine.info`."""
        return self._info

    def submit(self, requests: Sequence[Request]) -> None:
        """See `LLMEngine.submit`.

        Raises:
            ValueError: If a key is in flight already, or the engine is closed.
        """
        if self._closed:
            raise ValueError("the engine is closed.")
        self._in_flight.add(requests)
        for request in requests:
            prompt = self._chat.prompt_ids(request)
            too_long = over_long(request, len(prompt), self._info.max_model_len)
            if too_long is not None:
                self._in_flight.finish(too_long)
                continue
            with self._changed:
                self._num_submitted += 1
                insort(self._waiting, _Waiting(request.priority, self._num_submitted, request, prompt))
                self._changed.notify()

    def poll(self, timeout: float) -> list[Completion]:
        """See `LLMEngine.poll`; returns at once if nothing is in flight."""
        return self._in_flight.poll(timeout)

    def abort(self, keys: Sequence[str]) -> None:
        """See `LLMEngine.abort`; takes effect between two steps."""
        with self._changed:
            self._aborted.update(keys)
            self._changed.notify()

    def close(self) -> None:
        """See `LLMEngine.close`; what is in flight gets no outcome any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        """The thread: between two steps, take in what has come and put out what is done or given up."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closed or self._aborted or self._waiting or len(self._batch)
                )
                if self._closed:
                    return
                self._give_up()
            try:
                self._admit()
                for sequence in self._batch.step():
                    self._in_flight.finish(self._completion(sequence))
            except Exception as error:  # noqa: BLE001 - most often memory: the outcome of all that run
                self._fail_all(error)

    def _give_up(self) -> None:
        gone = [(waiting.request.key, 0) for waiting in self._waiting if waiting.request.key in self._aborted]
        self._waiting = [waiting for waiting in self._waiting if waiting.request.key not in self._aborted]
        gone += [(s.request.key, len(s.prompt)) for s in self._batch.remove(self._aborted)]
        self._aborted = set()
        for key, tokens in gone:
            self._in_flight.finish(failed_completion(key, "aborted", "aborted before it finished", tokens))

    def _admit(self) -> None:
        while True:
            with self._changed:
                first = self._waiting[0] if self._waiting else None
                needed = len(first.prompt) + first.request.sampling.max_tokens if first else 0
                if first is None or not self._batch.has_room(needed):
                    return
                del self._waiting[0]
            try:
                self._batch.join(first.request, first.prompt)
            except Exception as error:  # noqa: BLE001 - most often memory: this request's outcome
                self._fail(first.request.key, len(first.prompt), error)

    def _fail_all(self, error: Exception) -> None:
        for sequence in self._batch.clear():
            self._fail(sequence.request.key, len(sequence.prompt), error)

    def _fail(self, key: str, prompt_tokens: int, error: Exception) -> None:
        words = f"{type(error).__name__}: {error}"[:500]
        self._in_flight.finish(failed_completion(key, "engine_error", words, prompt_tokens))

    def _completion(self, sequence: "RunningSequence") -> Completion:
        return Completion(
            key=sequence.request.key,
            text=self._chat.text(sequence.answer),
            finish_reason="stop" if sequence.ended else "length",
            prompt_tokens=len(sequence.prompt),
            output_tokens=len(sequence.generated),
            token_ids=(*sequence.prompt, *sequence.generated),
        )
