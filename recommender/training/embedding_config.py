"""Settings of models that embed users and items: of the loop, and of what stands at layer 0."""

from typing import Final, Literal, TypeAlias

from pydantic import Field

from recommender.training.config import TrainerConfig

Fusion: TypeAlias = Literal["replace", "add", "concat", "gate", "init", "none"]
FUSIONS: Final[tuple[Fusion, ...]] = ("replace", "add", "concat", "gate", "init", "none")


class EmbeddingConfig(TrainerConfig):
    """Settings of every model that embeds users and items."""

    embedding_dim: int = Field(default=64, ge=1, description="Dimensions d of every embedding.")
    init_std: float = Field(default=0.1, gt=0, description="Standard deviation s of new ID embeddings.")
    reg: float = Field(default=1e-4, ge=0, description="Weight of the L2 penalty on layer-0 embeddings.")
    fusion: Fusion = Field(default="add", description="How vectors of a release join ID embeddings.")
    pca_components: int = Field(
        default=128, ge=1, description="Dimensions d' that the frozen PCA keeps of a release's vectors."
    )

    @property
    def reads_vectors(self) -> bool:
        """Vectors of a release, if they are given, change what is trained.

        With ``none`` they do not, but in a model whose default it is: that reads them in a way of its own.
        """
        return self.fusion != "none" or type(self).model_fields["fusion"].default == "none"
