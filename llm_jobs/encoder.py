"""The text encoder boundary.

Encoders: `llm_jobs.encoders.hashing` (the fake) and `llm_jobs.encoders.sentence_encoder`. Both pass
``tests/contracts/test_encoder_contract.py``.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from featurestore.spec import EncoderSpec


class TextEncoder(Protocol):
    """Texts to vectors. A batch equals its texts encoded one by one (to 1e-5), without NaN."""

    @property
    def spec(self) -> EncoderSpec:
        """Identity of the embedding space."""
        ...

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Encode texts in order.

        Args:
            texts: Non-empty strings; text beyond ``spec.max_tokens`` tokens is not read.

        Returns:
            (len(texts), spec.embedding_dim) float32, finite; unit rows if ``spec.normalized``.
        """
        ...

    def close(self) -> None:
        """Free the model. May be called twice."""
        ...
