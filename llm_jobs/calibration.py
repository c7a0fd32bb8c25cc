"""How fast a model is on a machine like this one, learned from run cards.

Seconds of engine time are taken as ``a · uncached prompt tokens + b · output tokens``. Runs of different
mixes of prompt and output give a and b by least squares of the relative error. Where they do not tell the two
apart, a prompt token is assumed to take a tenth of an output token's time, as batched prefill about does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.jobs.runcard import RunCard, RunMachine

_PROMPT_WEIGHT: Final = 0.1
_TELLS_APART: Final = 12.0
"""Condition number of the scaled runs up to which two speeds are believed."""
_RECENT: Final = 10


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast an engine runs a model.

    Attributes:
        engine: Engine class of the newest of the runs.
        num_runs: Runs it was learned from.
        prompt_tokens_per_second: Uncached prompt tokens, as if nothing else were done.
        output_tokens_per_second: Output tokens, as if nothing else were done.
        other_seconds: What a run takes besides: engine start-up, planning, commit.
    """

    engine: str
    num_runs: int
    prompt_tokens_per_second: float
    output_tokens_per_second: float
    other_seconds: float

    def seconds(self, uncached_prompt_tokens: float, output_tokens: float) -> float:
        """Seconds of a whole run of one engine."""
        reading = uncached_prompt_tokens / self.prompt_tokens_per_second
        return self.other_seconds + reading + output_tokens / self.output_tokens_per_second


def calibrate(cards: Sequence[RunCard], model: str, machine: RunMachine) -> Speed | None:
    """The speed of a model, or None if no run on such a machine tells it.

    Args:
        cards: Runs, newest first.
        model: Source of the model's weights (`RunCard.model_source`).
        machine: Where it is to run.
    """
    usable = [card for card in cards if _tells(card, model, machine)]
    if not usable:
        return None
    same_engine = [card for card in usable if card.engine == usable[0].engine][:_RECENT]
    uncached = np.array([card.prompt_tokens - card.cached_tokens for card in same_engine], dtype=np.float64)
    output = np.array([card.output_tokens for card in same_engine], dtype=np.float64)
    seconds = np.array([card.engine_seconds * card.num_engines for card in same_engine], dtype=np.float64)
    prompt_seconds, output_seconds = _fit(uncached, output, seconds)
    return Speed(
        engine=str(usable[0].engine),
        num_runs=len(same_engine),
        prompt_tokens_per_second=1.0 / prompt_seconds,
        output_tokens_per_second=1.0 / output_seconds,
        other_seconds=median(max(0.0, card.seconds - card.engine_seconds) for card in same_engine),
    )


def _tells(card: RunCard, model: str, machine: RunMachine) -> bool:
    worked = card.engine_seconds > 0 and card.output_tokens > 0 and card.engine is not None
    same_model = card.model_source == model
    return worked and same_model and card.machine is not None and card.machine.is_like(machine)


def _fit(
    uncached: npt.NDArray[np.float64], output: npt.NDArray[np.float64], seconds: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """Seconds per uncached prompt token and per output token; all arrays are (runs,)."""
    tokens = np.stack([uncached, output], axis=1) / seconds[:, None]  # (runs, 2), each row should fit to 1
    scale = np.maximum(tokens.mean(axis=0), 1e-12)
    if len(seconds) > 1 and np.linalg.cond(tokens / scale) <= _TELLS_APART:
        found = np.linalg.lstsq(tokens / scale, np.ones(len(seconds)), rcond=None)[0] / scale
        if (found > 0).all():
            return float(found[0]), float(found[1])
    rates = 1.0 / (_PROMPT_WEIGHT * tokens[:, 0] + tokens[:, 1])
    per_output = float(np.median(rates))
    return _PROMPT_WEIGHT * per_output, per_output
