"""Engine adapters: each implements `llm_jobs.engine.LLMEngine`, each is opened here by a model's entry."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from featurestore.spec import ModelSpec
from llm_jobs.engine import Completion, EngineInfo, LLMEngine, Request
from llm_jobs.engines.options import EngineOptions
from llm_jobs.models import ModelEntry, model_spec

__all__ = ["DeferredEngine", "EngineOptions", "OpenModel", "open_model"]


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A model and the engine that runs it."""

    entry: ModelEntry
    spec: ModelSpec
    engine: LLMEngine


class DeferredEngine:
    """An engine that starts when it is first asked for anything: a job with nothing to do starts none.

    Args:
        start: Makes the engine.
    """

    def __init__(self, start: Callable[[], LLMEngine]) -> None:
        self._start = start
        self._engine: LLMEngine | None = None
        self._closed = False

    @property
    def started(self) -> bool:
        """Whether the engine behind it exists."""
        return self._engine is not None

    @property
    def info(self) -> EngineInfo:
        """See `LLMEngine.info`; starts the engine."""
        return self._running().info

    def submit(self, requests: Sequence[Request]) -> None:
        """See `LLMEngine.submit`; starts the engine."""
        self._running().submit(requests)

    def poll(self, timeout: float) -> list[Completion]:
        """See `LLMEngine.poll`; an engine that never started has no completions."""
        return self._engine.poll(timeout) if self._engine is not None else []

    def abort(self, keys: Sequence[str]) -> None:
        """See `LLMEngine.abort`."""
        if self._engine is not None:
            self._engine.abort(keys)

    def close(self) -> None:
        """See `LLMEngine.close`."""
        self._closed = True
        if self._engine is not None:
            self._engine.close()

    def _running(self) -> LLMEngine:
        if self._closed:
            raise ValueError("the engine is closed.")
        if self._engine is None:
            self._engine = self._start()
        return self._engine


@contextmanager
def open_model(entry: ModelEntry, *, options: EngineOptions | None = None) -> Generator[OpenModel]:
    """The model of an entry; its engine starts at the first request and is closed at the end of the block.

    Args:
        entry: What to open; see `llm_jobs.models.find_model`.
        options: How to run it on this machine.

    Raises:
        SetupError: If the weights, the memory or the library are not there; says what is needed. Raised on
            entering for the tokenizer, at the first request for the rest.
    """
    engine = DeferredEngine(lambda: _start_engine(entry, options or EngineOptions()))
    try:
        yield OpenModel(entry=entry, spec=model_spec(entry), engine=engine)
    finally:
        engine.close()


def _start_engine(entry: ModelEntry, options: EngineOptions) -> LLMEngine:
    match entry.engine:
        case "echo":
            from llm_jobs.engines.echo import EchoEngine

            return EchoEngine()
        case "vllm":
            from llm_jobs.engines.vllm_offline import VllmEngine

            return VllmEngine(entry, options)
        case "transformers":
            from llm_jobs.engines.transformers_engine import TransformersEngine

            return TransformersEngine(entry, options)
        case "openai":
            from llm_jobs.engines.openai_http import OpenAIEngine

            return OpenAIEngine(entry, options)
