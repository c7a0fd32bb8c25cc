"""How an RQ-VAE is trained; importable without torch."""

from typing import Annotated

from pydantic import Field

from featurestore.spec import Frozen


class RqVaeOptions(Frozen):
    """TIGER's settings (Rajput et al., NeurIPS 2023, section 4.1).

    Epochs, batches and optimiser are our reconstruction.
    """

    latent_dim: int = Field(default=32, ge=1)
    """Columns of the latents that are coded."""
    hidden_dims: tuple[Annotated[int, Field(ge=1)], ...] = (512, 256, 128)
    """Columns of the encoder's hidden layers; the decoder's are these backwards."""
    commitment: float = Field(default=0.25, ge=0)
    """β: weight of the term that keeps latents near their codes."""
    epochs: int = Field(default=200, ge=1)
    """Passes over the training sample."""
    warm_epochs: int = Field(default=10, ge=1)
    """The same where training starts from an earlier RQ-VAE."""
    batch_size: int = Field(default=1024, ge=1)
    """Vectors of one step."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Step size of AdamW."""
