"""Signed feature hashing of words and word pairs: an encoder without a model, for tests and as a control.

Source: Weinberger et al., Feature Hashing for Large Scale Multitask Learning (ICML 2009), eq. 3: every
feature f adds sign(f) to column h(f).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from featurestore.spec import EncoderSpec

_WORD = re.compile(r"\w+")


class HashingEncoder:
    """Texts that share words get similar vectors; equal on every machine.

    Args:
        spec: ``embedding_dim`` columns; ``max_tokens`` words are read.
    """

    def __init__(self, spec: EncoderSpec) -> None:
        self._spec = spec

    @property
    def spec(self) -> EncoderSpec:
        """See `TextEncoder.spec`."""
        return self._spec

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See `TextEncoder.encode`."""
        if not texts:
            return np.zeros((0, self._spec.embedding_dim), np.float32)
        dim = self._spec.embedding_dim
        hashes = [self._hashes(self._spec.instruction + text) for text in texts]
        rows = np.repeat(np.arange(len(texts)), [len(h) for h in hashes])
        flat = np.fromiter((h for each in hashes for h in each), np.uint64, count=len(rows))
        signs = np.where(flat >> np.uint64(63), 1.0, -1.0)
        cells = rows * dim + (flat % np.uint64(dim)).astype(np.int64)
        sums = np.bincount(cells, signs, minlength=len(texts) * dim).reshape(len(texts), dim)
        # Opposite signs can cancel out: a text whose every column is 0 points along its first feature.
        for row in np.flatnonzero(~sums.any(axis=1)):
            sums[row, hashes[row][0] % dim] = 1.0
        if self._spec.normalized:
            sums /= np.linalg.norm(sums, axis=1, keepdims=True)
        return sums.astype(np.float32)

    def close(self) -> None:
        """See `TextEncoder.close`."""

    def _hashes(self, text: str) -> list[int]:
        words = _WORD.findall(text.lower())[: self._spec.max_tokens]
        if not words:
            return [_hash(text)]
        return [_hash(word) for word in words] + [_hash(f"{a} {b}") for a, b in pairwise(words)]


@lru_cache(maxsize=200_000)
def _hash(feature: str) -> int:
    return int.from_bytes(blake3(feature.encode()).digest(8), "little")
