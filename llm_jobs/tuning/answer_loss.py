"""The loss of supervised fine-tuning: answers are learned, prompts are read.

    L = - mean over examples of  1/|y| Σ_k log p(y_k | x, y_<k)

LGHRec (arXiv 2505.12396) tunes on a mixture and does not say with which loss. Each example weighs the same,
however long its answer: our reconstruction, so that short instructions are not drowned by long chains.
"""

from collections.abc import Sequence

import numpy as np
import torch

from llm_jobs.encoders.hidden_state import batches_by_length
from llm_jobs.tuning.config import Examples
from llm_jobs.tuning.writer import AdaptedWriter, TokenExample

_MAX_BATCH_TOKENS = 8_192


class AnswerObjective(torch.nn.Module):
    """Answers of examples, as `llm_jobs.tuning.objective.Objective`. Nothing learns beside the adapter.

    Args:
        examples: What is learned from.
    """

    def __init__(self, examples: Sequence[TokenExample]) -> None:
        super().__init__()
        self._examples = examples

    @property
    def num_examples(self) -> int:
        """See `Objective.num_examples`."""
        return len(self._examples)

    def loss(self, model: AdaptedWriter, examples: Examples) -> torch.Tensor:
        """See `Objective.loss`."""
        return model([self._examples[example] for example in examples.tolist()]).mean()

    def after_step(self) -> None:
        """See `Objective.after_step`: nothing is kept between steps."""


def mean_loss(model: AdaptedWriter, examples: Sequence[TokenExample], *, batch_size: int) -> float:
    """The loss of examples that nothing is learned from; NaN of none."""
    losses = np.full(len(examples), np.nan)
    lengths = [len(each) for each in examples]
    model.eval()
    with torch.inference_mode():
        for rows in batches_by_length(lengths, batch_size, _MAX_BATCH_TOKENS):
            losses[rows] = model([examples[row] for row in rows]).cpu().numpy()
    return float(losses.mean()) if len(losses) else float("nan")
