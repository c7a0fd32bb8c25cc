"""What encoders of decoders have in common: texts to token ids, hidden states to vectors.

RecMind (arXiv 2509.06286) eq. 3, z̃ = Pool(F(T)): the hidden state of a special pooling token. It stands last,
because a decoder's token sees only what is before it; its state is the last layer's, after the final norm.
Which token it is, and the words of the prompt, are our reconstruction. One input is

    what the tokenizer begins every text with (Llama's <|begin_of_text|>; often nothing)
    + instruction + text, cut at its end + pooling token          = max_tokens at most
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featurestore.errors import SetupError, missing_extra
from featurestore.spec import EncoderSpec
from llm_jobs.model_folder import context_length

_UNLIMITED = 10**9
"""Transformers would only warn of a longer text, and warn often."""


class PoolingTokens:
    """Token ids of texts, each with the pooling token at its end.

    Args:
        tokenizer: A tokenizer of transformers.
        spec: Instruction, pooling token and length.

    Raises:
        SetupError: If the vocabulary lacks the pooling token, or the instruction leaves no room for a text.
    """

    def __init__(self, tokenizer: Any, spec: EncoderSpec) -> None:  # noqa: ANN401 - a type of transformers
        self._tokenizer = tokenizer
        self._end = _pooling_id(tokenizer, spec)
        # A tokenizer that frames texts shows its frame around an empty one.
        begin = [token for token in tokenizer.encode("")[:1] if token == tokenizer.bos_token_id]
        self._start = [*begin, *tokenizer.encode(spec.instruction, add_special_tokens=False)]
        self._room = spec.max_tokens - len(self._start) - 1
        if self._room < 1:
            raise SetupError(
                f"encoder {spec.name!r} reads {spec.max_tokens} tokens, of which instruction and pooling "
                f"token take {len(self._start) + 1}: there is no room for a text.",
                hint=f"Raise max_tokens in [encoders.{spec.name}], or shorten its instruction.",
            )

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, in order.

        Special tokens are words like others where they stand in a text; in the instruction they are special.
        """
        if not texts:
            return []
        bodies = self._tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)
        return [[*self._start, *body[: self._room], self._end] for body in bodies["input_ids"]]


def load_pooling_tokens(folder: Path, spec: EncoderSpec) -> PoolingTokens:
    """The tokenizer of a decoder's folder, for the inputs that a spec describes.

    Raises:
        SetupError: If transformers is not installed, the tokenizer cannot be read or lacks the pooling token,
            or the spec reads more tokens than the decoder can.
    """
    if find_spec("transformers") is None:
        raise missing_extra("transformers", "encode")
    longest = context_length(folder)
    if longest is not None and spec.max_tokens > longest:
        raise SetupError(
            f"encoder {spec.name!r} reads {spec.max_tokens} tokens, but the model in {folder} takes "
            f"{longest}.",
            hint=f"Set max_tokens = {longest} or less in [encoders.{spec.name}].",
        )
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), model_max_length=_UNLIMITED)
    except Exception as error:
        raise SetupError(
            f"the tokenizer in {folder} cannot be read: {str(error)[:200]}",
            hint="Copy tokenizer.json and tokenizer_config.json from the model's repository into the folder.",
        ) from error
    return PoolingTokens(tokenizer, spec)


def vectors_of(states: npt.NDArray[np.float32], spec: EncoderSpec) -> npt.NDArray[np.float32]:
    """Hidden states as the vectors that a spec describes.

    Args:
        states: (n, hidden size) float32, the states at the pooling tokens.
        spec: Size and normalisation.

    Returns:
        (n, ``embedding_dim``) float32, finite; unit rows if ``normalized``.

    Raises:
        SetupError: If the model is of another size, or its states are not finite.
    """
    width = states.shape[1]
    if width != spec.embedding_dim:
        raise SetupError(
            f"encoder {spec.name!r} says embedding_dim = {spec.embedding_dim}, but its model makes "
            f"{width} columns.",
            hint=f"Set embedding_dim = {width} in [encoders.{spec.name}], or point to the right folder.",
        )
    num_broken = int((~np.isfinite(states).all(axis=1)).sum())
    if num_broken:
        raise SetupError(
            f"encoder {spec.name!r} made {num_broken} of {len(states)} vectors that hold NaN or infinity.",
            hint="Check the weights and the adapter, or compute in float32.",
        )
    if not spec.normalized:
        return states
    lengths = np.linalg.norm(states, axis=1, keepdims=True)
    return states / np.maximum(lengths, np.finfo(np.float32).tiny)


def _pooling_id(tokenizer: Any, spec: EncoderSpec) -> int:  # noqa: ANN401 - a type of transformers
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    if spec.pooling_token not in vocabulary:
        special = ", ".join(sorted(map(str, tokenizer.all_special_tokens))) or "none"
        raise SetupError(
            f"encoder {spec.name!r} pools at the token {spec.pooling_token!r}, which its model's vocabulary "
            f"lacks. Special tokens there: {special}.",
            hint=f"Set pooling_token in [encoders.{spec.name}] to a token of the vocabulary.",
        )
    return vocabulary[spec.pooling_token]
