"""A model is opened by its entry, and its engine starts only when there is something to do."""

import pytest

from featurestore.spec import Sampling
from llm_jobs.engine import Message, Request
from llm_jobs.engines import DeferredEngine, open_model
from llm_jobs.engines.echo import EchoEngine
from llm_jobs.models import find_model

_REQUEST = Request("k", (Message("user", "Hello?"),), Sampling(max_tokens=64))


def test_an_engine_that_is_not_asked_never_starts() -> None:
    with open_model(find_model("echo", {})) as model:
        engine = model.engine
        assert isinstance(engine, DeferredEngine)
        assert engine.poll(0.0) == []
        engine.abort(["k"])
        assert not engine.started
    with pytest.raises(ValueError, match="closed"):
        engine.submit([_REQUEST])


def test_the_first_request_starts_it_and_the_block_closes_it() -> None:
    with open_model(find_model("echo", {})) as model:
        model.engine.submit([_REQUEST])
        assert model.engine.info.name == "echo"
        (done,) = model.engine.poll(5.0)
        assert done.text
        assert model.spec.alias == "echo"


def test_closing_reaches_the_engine_behind() -> None:
    closed: list[str] = []

    class Closing(EchoEngine):
        def close(self) -> None:
            closed.append("closed")
            super().close()

    engine = DeferredEngine(Closing)
    engine.submit([_REQUEST])
    engine.close()
    assert closed == ["closed"]
