"""The networks around an RQ-VAE's codes: vectors to latents and back, in NumPy.

    z = f(x),  x̂ = g(Σ_l e_{l,c_l})        f: d → 512 → 256 → 128 → 32,  g the way back

Rajput et al., "Recommender Systems with Generative Retrieval" (TIGER, NeurIPS 2023). Layers are linear maps
with ReLU between them. Trained by `featurestore.codes.rq_vae_training`; applied without torch.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from featurestore.errors import InputError

Floats = npt.NDArray[np.float32]
Layer = tuple[Floats, Floats]
"""Weight (out, in) and bias (out,), float32."""


@dataclass(frozen=True)
class LatentNetwork:
    """Encoder and decoder.

    Attributes:
        encoder: From vectors to latents.
        decoder: From latents to vectors; its widths are the encoder's backwards.
    """

    encoder: tuple[Layer, ...]
    decoder: tuple[Layer, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns from the vector, over hidden layers, to the latent."""
        return (self.encoder[0][0].shape[1], *(len(bias) for _, bias in self.encoder))

    def latents(self, vectors: Floats) -> Floats:
        """(n, latent) float32 of (n, d)."""
        return _apply(self.encoder, vectors)

    def vectors(self, latents: Floats) -> Floats:
        """(..., d) float32 of (..., latent)."""
        return _apply(self.decoder, latents)

    @cached_property
    def file(self) -> bytes:
        """All numbers as one NPY file, layer by layer; `widths` says how to read them."""
        buffer = io.BytesIO()
        parts = [part.ravel() for layer in (*self.encoder, *self.decoder) for part in layer]
        np.save(buffer, np.concatenate(parts).astype("<f4"), allow_pickle=False)
        return buffer.getvalue()


def read_network(file: bytes, widths: Sequence[int]) -> LatentNetwork:
    """The network of `LatentNetwork.file`.

    Raises:
        InputError: If the file holds other numbers than the widths need.
    """
    try:
        numbers = np.load(io.BytesIO(file), allow_pickle=False)
    except ValueError as error:
        raise InputError(f"the network of a codebook cannot be read: {error}.") from error
    shapes = [*pairwise(widths), *pairwise(reversed(widths))]
    needed = sum(out * (into + 1) for into, out in shapes)
    if numbers.shape != (needed,):
        raise InputError(
            f"a network of widths {', '.join(map(str, widths))} has {needed} numbers, found {numbers.shape}."
        )
    layers: list[Layer] = []
    for into, out in shapes:
        weight, bias, numbers = np.split(numbers.astype(np.float32), [out * into, out * into + out])
        layers.append((weight.reshape(out, into), bias))
    half = len(layers) // 2
    return LatentNetwork(tuple(layers[:half]), tuple(layers[half:]))


def _apply(layers: Sequence[Layer], inputs: Floats) -> Floats:
    states = inputs
    for number, (weight, bias) in enumerate(layers):
        states = states @ weight.T + bias
        if number < len(layers) - 1:
            states = np.maximum(states, 0)
    return states.astype(np.float32, copy=False)
