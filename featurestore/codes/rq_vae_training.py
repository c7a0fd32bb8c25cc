"""Trains an RQ-VAE: codebooks between an encoder and a decoder that learn along.

    r_1 = f(x),  c_l = argmin_k ‖r_l - e_{l,k}‖,  r_{l+1} = r_l - e_{l,c_l},  x̂ = g(Σ_l e_{l,c_l})
    L = ‖x - x̂‖² + Σ_l ‖sg r_l - e_{l,c_l}‖² + β ‖r_l - sg e_{l,c_l}‖²

Rajput et al., "Recommender Systems with Generative Retrieval" (TIGER, NeurIPS 2023), section 3.1; gradients
pass the codes unchanged (straight through), and codebooks begin at k-means over latents. Our reconstruction:
vectors are centred and scaled to a mean square of one, which ends up within the first and the last layer. The
one file of codes that torch is needed to import.
"""

from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from featurestore.codes.codebooks import Centroids
from featurestore.codes.latent_network import LatentNetwork, Layer
from featurestore.codes.residual_quantizer import TRAINING_SEED, train_centroids
from featurestore.codes.rq_vae_options import RqVaeOptions

Floats = npt.NDArray[np.float32]

_START_ITERATIONS: Final = 10
"""Rounds of k-means that codebooks begin at."""


class RqVae(torch.nn.Module):
    """Encoder, codebooks and decoder.

    Args:
        widths: Columns from the vector, over hidden layers, to the latent.
        num_levels: Codes of a vector.
        codebook_size: Codes that each level chooses from.
    """

    def __init__(self, widths: tuple[int, ...], *, num_levels: int, codebook_size: int) -> None:
        super().__init__()
        self.encoder = _layers(widths)
        self.decoder = _layers(widths[::-1])
        self.codebooks = torch.nn.Parameter(torch.zeros(num_levels, codebook_size, widths[-1]))

    def forward(self, vectors: Tensor, commitment: float) -> Tensor:
        """The loss L, summed over columns and averaged over vectors: ()."""
        latents: Tensor = self.encoder(vectors)  # (n, latent)
        residuals, total = latents, latents.new_zeros(())
        coded = torch.zeros_like(latents)
        for codebook in self.codebooks:
            nearest = torch.cdist(residuals.detach(), codebook.detach()).argmin(dim=1)  # (n,)
            centroids = codebook[nearest]  # (n, latent)
            total = total + (residuals.detach() - centroids).square().sum(dim=1).mean()
            total = total + commitment * (residuals - centroids.detach()).square().sum(dim=1).mean()
            coded = coded + centroids
            residuals = residuals - centroids.detach()
        passed = latents + (coded - latents).detach()
        return total + (vectors - self.decoder(passed)).square().sum(dim=1).mean()


def train_rq_vae(
    vectors: Floats,
    options: RqVaeOptions,
    *,
    num_levels: int,
    codebook_size: int,
    start: tuple[LatentNetwork, Centroids] | None = None,
) -> tuple[LatentNetwork, Centroids]:
    """An RQ-VAE of vectors.

    Args:
        vectors: (n, d) float32.
        options: How to train.
        num_levels: Levels.
        codebook_size: Centroids of each, a power of two.
        start: An RQ-VAE of the same shape to start from; None starts anew.

    Returns:
        Its networks, and (num_levels, codebook_size, latent_dim) float32.

    Raises:
        InputError: If there are fewer vectors than centroids of a level.
    """
    mean = vectors.mean(axis=0)
    scale = float(np.sqrt(np.square(vectors - mean).mean())) or 1.0
    widths = (vectors.shape[1], *options.hidden_dims, options.latent_dim)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(TRAINING_SEED)
        model = RqVae(widths, num_levels=num_levels, codebook_size=codebook_size)
    inputs = torch.from_numpy((vectors - mean) / np.float32(scale))
    with torch.no_grad():
        if start is None:
            latents = model.encoder(inputs).numpy()
            begun = train_centroids(
                latents, num_levels=num_levels, codebook_size=codebook_size, iterations=_START_ITERATIONS
            )
            model.codebooks.copy_(torch.from_numpy(begun))
        else:
            _begin_at(model, *start, mean=mean, scale=scale)
    _fit(model, inputs, options, epochs=options.epochs if start is None else options.warm_epochs)
    return _network(model, mean, scale), model.codebooks.detach().numpy().copy()


def _fit(model: RqVae, inputs: Tensor, options: RqVaeOptions, *, epochs: int) -> None:
    generator = torch.Generator().manual_seed(TRAINING_SEED)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate)
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs), generator=generator).split(options.batch_size):
            optimizer.zero_grad()
            model(inputs[rows], options.commitment).backward()
            optimizer.step()


def _layers(widths: tuple[int, ...]) -> torch.nn.Sequential:
    layers: list[torch.nn.Module] = []
    for into, out in pairwise(widths):
        layers += [torch.nn.Linear(into, out), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def _linear(layers: torch.nn.Sequential) -> list[torch.nn.Linear]:
    return [layer for layer in layers if isinstance(layer, torch.nn.Linear)]


def _network(model: RqVae, mean: Floats, scale: float) -> LatentNetwork:
    """The networks for vectors as they come: centring and scale within the first and the last layer."""
    encoder, decoder = (_arrays(part) for part in (model.encoder, model.decoder))
    weight, bias = encoder[0]
    scaled = (weight / np.float32(scale)).astype(np.float32)
    encoder[0] = scaled, (bias - scaled @ mean).astype(np.float32)
    weight, bias = decoder[-1]
    decoder[-1] = (weight * np.float32(scale)).astype(np.float32), (bias * scale + mean).astype(np.float32)
    return LatentNetwork(tuple(encoder), tuple(decoder))


def _begin_at(
    model: RqVae, network: LatentNetwork, centroids: Centroids, *, mean: Floats, scale: float
) -> None:
    """Set the weights so that `_network` would give this network."""
    for layers, stored in ((model.encoder, network.encoder), (model.decoder, network.decoder)):
        for linear, (weight, bias) in zip(_linear(layers), stored, strict=True):
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
    first, last = _linear(model.encoder)[0], _linear(model.decoder)[-1]
    middle = torch.from_numpy(mean)
    first.bias.add_(first.weight @ middle)
    first.weight.mul_(scale)
    last.weight.div_(scale)
    last.bias.sub_(middle).div_(scale)
    model.codebooks.copy_(torch.from_numpy(centroids))


def _arrays(layers: torch.nn.Sequential) -> list[Layer]:
    return [
        (linear.weight.detach().numpy().copy(), linear.bias.detach().numpy().copy())
        for linear in _linear(layers)
    ]
