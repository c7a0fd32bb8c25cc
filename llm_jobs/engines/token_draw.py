"""Drawing the next token from a model's scores, as a request's sampling says."""

import torch
from torch import Tensor

from featurestore.spec import Sampling


def draw_token(scores: Tensor, sampling: Sampling, seen: Tensor | None, generator: torch.Generator) -> int:
    """The next token of one sequence.

    Args:
        scores: The model's logits, (vocabulary,) float32.
        sampling: Temperature 0 takes the best token; otherwise one of the smallest set of tokens whose
            probabilities reach ``top_p``.
        seen: Which tokens prompt and output hold already, (vocabulary,) bool; None without a repetition
            penalty. Their scores are divided by the penalty if positive, multiplied if negative (Keskar et
            al. 2019, arXiv:1909.05858).
        generator: The sequence's own.
    """
    if seen is not None:
        penalty = sampling.repetition_penalty
        scores = torch.where(seen, torch.where(scores > 0, scores / penalty, scores * penalty), scores)
    if sampling.temperature == 0:
        return int(scores.argmax())
    probabilities = torch.softmax(scores / sampling.temperature, dim=0)
    if sampling.top_p >= 1:
        return int(torch.multinomial(probabilities, 1, generator=generator))
    return _draw_nucleus(probabilities, sampling.top_p, generator)


def _draw_nucleus(probabilities: Tensor, top_p: float, generator: torch.Generator) -> int:
    # Tokens below this bound sum up to less than 1 - top_p, so none is of the set: only the rest is sorted.
    bound = (1 - top_p) / probabilities.shape[0]
    candidates = (probabilities >= bound).nonzero().flatten()
    ordered, order = probabilities[candidates].sort(descending=True)
    reached = ordered.cumsum(0)
    count = min(int((reached < top_p).sum()) + 1, len(reached))
    point = torch.rand((), generator=generator, device=reached.device) * reached[count - 1]
    return int(candidates[order[min(int((reached < point).sum()), count - 1)]])
