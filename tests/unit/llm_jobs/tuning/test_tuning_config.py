"""Steps, batches, noise and step sizes follow from settings, seed and step alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from featurestore.errors import SetupError
from llm_jobs.tuning.config import (
    TuningConfig,
    examples_of_step,
    noise_of,
    num_steps,
    rate_share,
    tuning_device,
)

CPU = torch.device("cpu")


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 4), st.integers(1, 3))
def test_every_epoch_sees_every_example_once(num_examples, batch_size, accumulation, epochs):
    config = TuningConfig(batch_size=batch_size, accumulation=accumulation, epochs=epochs)
    total = num_steps(config, num_examples)
    seen = [batch for step in range(total) for batch in examples_of_step(config, num_examples, step, seed=3)]
    assert max(map(len, seen)) <= batch_size
    np.testing.assert_array_equal(
        np.bincount(np.concatenate(seen), minlength=num_examples), np.full(num_examples, epochs)
    )
    per_epoch = total // epochs
    first = [
        e for s in range(per_epoch) for b in examples_of_step(config, num_examples, s, seed=3) for e in b
    ]
    assert sorted(first) == list(range(num_examples))


def test_epochs_and_seeds_have_orders_of_their_own():
    config = TuningConfig(batch_size=64, epochs=2)
    orders = [examples_of_step(config, 64, step, seed=seed)[0].tolist() for step in (0, 1) for seed in (0, 1)]
    assert len(set(map(tuple, orders))) == 4


def test_max_steps_cuts_the_job_short():
    assert num_steps(TuningConfig(batch_size=4, epochs=3), 10) == 9
    assert num_steps(TuningConfig(batch_size=4, epochs=3, max_steps=5), 10) == 5


def test_noise_is_of_the_step_and_leaves_the_processes_generator_alone():
    before = torch.random.get_rng_state()
    drawn = []
    for place in ((1, 0, 0), (1, 0, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0)):
        with noise_of(*place, CPU):
            drawn.append(torch.rand(3))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(drawn[0], drawn[1])
    assert len({tuple(each.tolist()) for each in drawn}) == 4


def test_the_step_size_rises_and_falls():
    config = TuningConfig(warmup_steps=4, schedule="cosine")
    shares = [rate_share(config, step, 12) for step in range(12)]
    np.testing.assert_allclose(shares[:4], [0.25, 0.5, 0.75, 1.0])
    expected = [0.5 + 0.5 * np.cos(np.pi * done / 8) for done in range(8)]
    np.testing.assert_allclose(shares[4:], expected)
    assert rate_share(TuningConfig(schedule="constant"), 11, 12) == 1.0


def test_mixed_precision_and_cuda_need_a_gpu(monkeypatch):
    with pytest.raises(ValidationError, match="precision=bfloat16 needs device=cuda"):
        TuningConfig(precision="bfloat16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SetupError, match="device=cuda, but torch finds no CUDA device"):
        tuning_device(TuningConfig(device="cuda", precision="bfloat16"))
