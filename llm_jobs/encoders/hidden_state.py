"""Hidden states of a decoder, computed by transformers: RecMind's language view (eq. 3).

Texts of like length share a batch and are padded at their end. A decoder's token sees nothing behind it, so
padding changes no state that is read, whatever the kind of its layers.
"""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featurestore.errors import missing_extra
from featurestore.spec import EncoderSpec
from llm_jobs.encoders.decoder_model import load_decoder
from llm_jobs.encoders.last_token import PoolingTokens, load_pooling_tokens, vectors_of

_MAX_BATCH_TOKENS = 16_384
"""Tokens that go through the model together at most, padding included: it bounds what activations take."""


class HiddenStateEncoder:
    """A decoder from a model folder; its weights are read when the first text comes.

    Args:
        folder: Config, tokenizer, weights.
        spec: Prompt, pooling token, length and normalisation.
        adapter: Folder of the LoRA adapter whose digest the spec holds.
        batch_size: Texts that go through the model together at most.

    Raises:
        SetupError: If transformers is not installed; at the first text if the folder or the adapter do not
            fit the spec.
    """

    def __init__(
        self, folder: Path, spec: EncoderSpec, *, adapter: Path | None = None, batch_size: int = 64
    ) -> None:
        if find_spec("transformers") is None:
            raise missing_extra("transformers", "encode")
        self._folder = folder
        self._spec = spec
        self._adapter = adapter
        self._batch_size = batch_size
        self._loaded: tuple[PoolingTokens, Any] | None = None

    @property
    def spec(self) -> EncoderSpec:
        """See `TextEncoder.spec`."""
        return self._spec

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See `TextEncoder.encode`. Texts of like length share a batch, so give many at once."""
        if not texts:
            return np.zeros((0, self._spec.embedding_dim), np.float32)
        if self._loaded is None:
            tokens = load_pooling_tokens(self._folder, self._spec)
            self._loaded = tokens, load_decoder(self._folder, self._spec, self._adapter)
        tokens, decoder = self._loaded
        inputs = tokens.token_ids(texts)
        lengths = [len(ids) for ids in inputs]
        states = np.empty((len(texts), decoder.config.hidden_size), np.float32)
        for rows in batches_by_length(lengths, self._batch_size, _MAX_BATCH_TOKENS):
            states[rows] = _last_states(decoder, [inputs[row] for row in rows])
        return vectors_of(states, self._spec)

    def close(self) -> None:
        """See `TextEncoder.close`."""
        self._loaded = None


def batches_by_length(lengths: Sequence[int], max_rows: int, max_tokens: int) -> Iterator[list[int]]:
    """Rows in batches of like length, the longest first: what does not fit in memory fails at once.

    Args:
        lengths: Tokens of each row.
        max_rows: Rows of a batch at most.
        max_tokens: Rows times the longest length of a batch at most; a longer row is a batch of its own.
    """
    rows = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    start = 0
    while start < len(rows):
        size = max(1, min(max_rows, max_tokens // lengths[rows[start]]))
        yield rows[start : start + size]
        start += size


def _last_states(decoder: Any, inputs: Sequence[list[int]]) -> npt.NDArray[np.float32]:  # noqa: ANN401 - of transformers
    """(batch, hidden size) float32: the last layer's state at the end of each input."""
    import torch

    ends = torch.tensor([len(ids) - 1 for ids in inputs])
    length = int(ends.max()) + 1
    padded = torch.tensor([ids + ids[-1:] * (length - len(ids)) for ids in inputs])  # (batch, length)
    mask = (torch.arange(length) <= ends[:, None]).long()  # (batch, length)
    device = decoder.device
    with torch.inference_mode():
        output = decoder(input_ids=padded.to(device), attention_mask=mask.to(device), use_cache=False)
        states = output.last_hidden_state  # (batch, length, hidden size)
        rows = torch.arange(len(inputs), device=device)
        return states[rows, ends.to(device)].float().cpu().numpy()
