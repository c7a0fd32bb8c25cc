"""Drawing tokens: best, nucleus, penalty, seed."""

from collections import Counter

import pytest

from featurestore.spec import Sampling

torch = pytest.importorskip("torch")

from llm_jobs.engines.token_draw import draw_token  # noqa: E402 - needs torch


def _scores(*probabilities: float) -> "torch.Tensor":
    return torch.log(torch.tensor(probabilities))


def _many(scores: "torch.Tensor", sampling: Sampling, count: int = 2000) -> Counter[int]:
    generator = torch.Generator().manual_seed(sampling.seed)
    return Counter(draw_token(scores, sampling, None, generator) for _ in range(count))


def test_temperature_zero_takes_the_best() -> None:
    assert set(_many(_scores(0.2, 0.5, 0.3), Sampling(), 20)) == {1}


def test_frequencies_are_those_of_the_model() -> None:
    counts = _many(_scores(0.6, 0.3, 0.1), Sampling(temperature=1.0))
    assert counts[0] / 2000 == pytest.approx(0.6, abs=0.05)
    assert counts[2] / 2000 == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.5, {0}), (0.61, {0, 1}), (0.9, {0, 1}), (0.95, {0, 1, 2}), (0.01, {0})]
)
def test_a_nucleus_is_the_smallest_set_that_reaches_its_mass(top_p: float, kept: set[int]) -> None:
    counts = _many(_scores(0.6, 0.31, 0.08, 0.01), Sampling(temperature=1.0, top_p=top_p))
    assert set(counts) == kept


def test_frequencies_inside_a_nucleus_keep_their_ratio() -> None:
    counts = _many(_scores(0.6, 0.3, 0.1), Sampling(temperature=1.0, top_p=0.9))
    assert counts[0] / counts[1] == pytest.approx(2.0, rel=0.2)


def test_a_penalty_turns_away_from_what_was_said() -> None:
    seen = torch.tensor([True, False, False])
    generator = torch.Generator()
    sampling = Sampling(repetition_penalty=2.0)
    assert draw_token(torch.tensor([3.0, 2.0, 0.0]), sampling, seen, generator) == 1
    assert draw_token(torch.tensor([-1.0, -1.5, -9.0]), sampling, seen, generator) == 1


def test_equal_seeds_draw_equal_tokens() -> None:
    scores = torch.zeros(50)

    def draw(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        sampling = Sampling(temperature=1.0, top_p=0.9)
        return [draw_token(scores, sampling, None, generator) for _ in range(10)]

    assert draw(3) == draw(3) != draw(4)
