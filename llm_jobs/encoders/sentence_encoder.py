"""Transformer encoders, run by sentence-transformers in float32.

The model is put together from the spec (pooling, length, normalisation) not from what the folder suggests:
nothing shapes a vector without being in its spec.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from featurestore.errors import SetupError, missing_extra
from featurestore.spec import EncoderSpec
from llm_jobs.lora_adapter import merge_adapter
from llm_jobs.model_folder import weight_files

_POOLER_WEIGHT = "pooler.dense.weight"
_POOLING_MODES: dict[str, Literal["mean", "cls"]] = {"mean": "mean", "cls": "cls"}


class SentenceEncoder:
    """An encoder from a model folder; its weights are read when the first text comes.

    Args:
        folder: Config, tokenizer, weights.
        spec: How to pool, cut and normalise.
        adapter: Folder of the LoRA adapter whose digest the spec holds.
        batch_size: Texts that go through the model together.

    Raises:
        SetupError: If sentence-transformers is not installed, or the model cannot make these vectors (of
            another size than the spec says: at the first text).
    """

    def __init__(
        self, folder: Path, spec: EncoderSpec, *, adapter: Path | None = None, batch_size: int = 64
    ) -> None:
        if find_spec("sentence_transformers") is None:
            raise missing_extra("sentence_transformers", "encode")
        if spec.pooling == "pooler":
            _require_pooler(folder, spec)
        self._folder = folder
        self._spec = spec
        self._adapter = adapter
        self._batch_size = batch_size
        self._model: Any = None

    @property
    def spec(self) -> EncoderSpec:
        """See `TextEncoder.spec`."""
        return self._spec

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See `TextEncoder.encode`. Texts of like length share a batch, so give many at once."""
        if not texts:
            return np.zeros((0, self._spec.embedding_dim), np.float32)
        if self._model is None:
            self._model = _build(self._folder, self._spec, self._adapter)
        return self._model.encode(
            list(texts),
            prompt=self._spec.instruction or None,
            batch_size=self._batch_size,
            show_progress_bar=False,
            normalize_embeddings=self._spec.normalized,
        )

    def close(self) -> None:
        """See `TextEncoder.close`."""
        self._model = None


def _build(folder: Path, spec: EncoderSpec, adapter: Path | None) -> Any:  # noqa: ANN401 - a type of sentence-transformers
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # weights of heads that an encoder has no use for are no news
    transformer = Transformer(
        str(folder),
        model_kwargs={"dtype": torch.float32, "local_files_only": True},
        max_seq_length=spec.max_tokens,
    )
    width = transformer.get_embedding_dimension()
    if width != spec.embedding_dim:
        raise SetupError(
            f"encoder {spec.name!r} says embedding_dim = {spec.embedding_dim}, but the model in {folder} "
            f"makes {width} columns.",
            hint=f"Set embedding_dim = {width} in [encoders.{spec.name}], or point to the right folder.",
        )
    if adapter is not None:
        merge_adapter(transformer.model, adapter)
    if spec.pooling == "pooler":
        return SentenceTransformer(modules=[transformer, _pooler_module(transformer.model.pooler, width)])
    return SentenceTransformer(
        modules=[transformer, Pooling(width, pooling_mode=_POOLING_MODES[spec.pooling])]
    )


def _pooler_module(pooler: Any, width: int) -> Any:  # noqa: ANN401 - modules of torch
    """The model's own pooler, tanh(W h_first + b), as a module of sentence-transformers."""
    from torch import nn

    class Pooler(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pooler = pooler

        def forward(self, features: dict[str, Any]) -> dict[str, Any]:
            features["sentence_embedding"] = self.pooler(features["token_embeddings"])  # (batch, width)
            return features

        def get_embedding_dimension(self) -> int:
            return width

    return Pooler()


def _require_pooler(folder: Path, spec: EncoderSpec) -> None:
    """Refuse a checkpoint without pooler: transformers would fill it with random numbers."""
    from safetensors import safe_open

    for path in weight_files(folder):
        with safe_open(path, framework="numpy") as weights:
            if any(name.endswith(_POOLER_WEIGHT) for name in weights.keys()):  # noqa: SIM118 - not a mapping
                return
    raise SetupError(
        f"encoder {spec.name!r} pools with the model's pooler, but the weights in {folder} hold none "
        f"(no {_POOLER_WEIGHT}).",
        hint=f'Use a checkpoint with a pooler, or set pooling = "mean" in [encoders.{spec.name}].',
    )
