"""A tuned encoder: a base model with an adapter and a projection, as `llm_jobs.encoder.TextEncoder`."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from featurestore.adapters import Adapter
from featurestore.errors import EmbeddingSpaceError
from featurestore.spec import EncoderSpec
from llm_jobs.tuning.base_model import BaseModel, TextVectors, encode
from llm_jobs.tuning.lora import adapter_files, attach_stored
from llm_jobs.tuning.projection import StandardisedProjection

PROJECTION_FILE = "projection.safetensors"
_WEIGHT, _BIAS = "weight", "bias"
_BATCH_SIZE = 64


class TunedEncoder:
    """Texts to vectors z^L = W' Pool(F(T; adapter)) + b.

    Args:
        base: Tokenises.
        model: The base model with the adapter.
        weight: (d, h) float32 W', see `StandardisedProjection.folded`.
        bias: (d,) float32 b.
        spec: What the vectors are.
    """

    def __init__(
        self,
        base: BaseModel,
        model: TextVectors,
        weight: torch.Tensor,
        bias: torch.Tensor,
        *,
        spec: EncoderSpec,
    ) -> None:
        self._base = base
        self._model = model
        self._weight, self._bias = weight.numpy(), bias.numpy()
        self._spec = spec

    @property
    def spec(self) -> EncoderSpec:
        """See `TextEncoder.spec`."""
        return self._spec

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See `TextEncoder.encode`. Texts of like length share a batch, so give many at once."""
        if not texts:
            return np.zeros((0, self._spec.embedding_dim), np.float32)
        pooled = encode(self._model, self._base.token_ids(texts), batch_size=_BATCH_SIZE)  # (n, h)
        return pooled @ self._weight.T + self._bias

    def close(self) -> None:
        """See `TextEncoder.close`: whoever loaded the base model keeps it."""


def tuned_spec(base: EncoderSpec, adapter: str, *, job: str, embedding_dim: int) -> EncoderSpec:
    """The embedding space of a base model with an adapter and a projection."""
    return base.model_copy(
        update={
            "name": f"{base.name}+{job}",
            "pooling": f"{base.pooling}, projected",
            "normalized": False,
            "embedding_dim": embedding_dim,
            "adapter": adapter,
        }
    )


def tuned_files(model: TextVectors, projection: StandardisedProjection) -> dict[str, bytes]:
    """All that `open_tuned` needs beside the base model."""
    from safetensors.torch import save

    weight, bias = projection.folded()
    return {**adapter_files(model.network), PROJECTION_FILE: save({_WEIGHT: weight, _BIAS: bias})}


def open_tuned(base: BaseModel, adapter: Adapter) -> TunedEncoder:
    """The encoder that an adapter of a store makes of its base model.

    Args:
        base: A fresh base model: the adapter is attached to it.
        adapter: See `featurestore.adapters.load_adapter`.

    Raises:
        EmbeddingSpaceError: If the adapter was tuned on another base model, or other inputs.
        SetupError: If peft is not installed.
        StoreError: If the adapter's files do not fit the base model.
    """
    from safetensors.torch import load

    origin, tuned_on = adapter.origin, adapter.encoder_base
    if tuned_on.digest != base.spec.digest:
        different = [
            f"{name} {getattr(tuned_on, name)!r}, not {getattr(base.spec, name)!r}"
            for name in EncoderSpec.model_fields
            if getattr(tuned_on, name) != getattr(base.spec, name)
        ]
        raise EmbeddingSpaceError(
            f"the adapter {adapter.digest[:16]} was tuned on another base: {'; '.join(different)}.",
            hint="Name the encoder that it was tuned on, with its settings, or tune again.",
        )
    model = TextVectors(attach_stored(base.network, adapter.files), base.spec.pooling)
    projection = load(adapter.files[PROJECTION_FILE])
    spec = tuned_spec(base.spec, adapter.digest, job=origin.job, embedding_dim=len(projection[_BIAS]))
    return TunedEncoder(base, model, projection[_WEIGHT], projection[_BIAS], spec=spec)
