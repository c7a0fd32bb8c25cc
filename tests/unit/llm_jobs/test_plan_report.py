import pytest

from llm_jobs.engines import EngineOptions
from llm_jobs.machine import Gpu, Machine
from llm_jobs.models import find_model
from llm_jobs.plan_report import memory_fit

_CPU = Machine(memory_gib=24.0, free_memory_gib=20.0, free_disk_gib=100.0)
_GPUS = Machine(
    memory_gib=256.0,
    free_memory_gib=200.0,
    free_disk_gib=100.0,
    gpus=(Gpu("A100", 40.0, 38.0), Gpu("A100", 40.0, 38.0)),
)


def test_a_model_is_held_against_the_memory_it_would_live_in() -> None:
    large = find_model("deepseek-r1-32b", {})
    on_cpu = memory_fit(large, EngineOptions(), _CPU)
    assert on_cpu is not None
    assert (on_cpu.where, on_cpu.needed_gib, on_cpu.free_gib, on_cpu.fits) == ("memory", 70.0, 20.0, False)
    alone = memory_fit(large, EngineOptions(), _GPUS)
    assert alone is not None
    assert (alone.where, alone.fits) == ("GPU memory", False)
    shared = memory_fit(large, EngineOptions(tensor_parallel_size=2), _GPUS)
    assert shared is not None
    assert shared.needed_gib == pytest.approx(35.0)
    assert shared.fits


def test_a_model_that_takes_no_memory_here_is_not_held_against_it() -> None:
    assert memory_fit(find_model("echo", {}), EngineOptions(), _CPU) is None
