"""Small random integers for noise and dropout: a word of random bits serves several numbers."""

from typing import Final

import torch

_WORD_BYTES: Final = 8
_LOWEST_WORD: Final = -(2**63)


def random_words(
    shape: torch.Size, dtype: torch.dtype, device: torch.device, noise: torch.Generator
) -> torch.Tensor:
    """Every value of an integer type alike.

    torch draws 64 bits as fast as one float32 or one Bernoulli number, which these take the place of.

    Args:
        shape: Of the result.
        dtype: An integer type of at most 64 bits.
        device: Of the result.
        noise: Source of the bits, on that device.

    Returns:
        New memory.
    """
    num_words = -(-shape.numel() * dtype.itemsize // _WORD_BYTES)
    words = torch.empty(num_words, dtype=torch.int64, device=device)
    words.random_(_LOWEST_WORD, None, generator=noise)
    return words.view(dtype)[: shape.numel()].view(shape)


def dropout(values: torch.Tensor, rate: float, noise: torch.Generator) -> torch.Tensor:
    """Zeros in place of a share of all numbers; the others are divided by the share that stays.

    Args:
        values: float32, of any shape.
        rate: The share in [0, 1), taken as the nearest multiple of 2^-16.
        noise: Source of the draws, on the values' device.
    """
    dropped = round(rate * 2**16)
    if not dropped:
        return values
    words = random_words(values.shape, torch.int16, values.device, noise)
    return values * (words >= dropped - 2**15).to(values.dtype).mul_(2**16 / (2**16 - dropped))
