"""Frozen specs: everything that can change a feature's rows, and nothing else.

A feature version is its spec. The digest is taken from the spec and the job is built from the spec only, so
nothing reaches an engine or an encoder without reaching the digest.
"""

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    model_serializer,
)

from featurestore.ids import digest

Entity: TypeAlias = Literal["item", "user"]
Kind: TypeAlias = Literal["source", "text", "vector", "graph", "codes", "recommendations"]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""Names become parts of table names and file names."""


class Frozen(BaseModel):
    """A value: immutable, no unknown fields, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Sampling(Frozen):
    """How the engine draws tokens."""

    temperature: float = Field(default=0.0, ge=0.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    repetition_penalty: float = Field(default=1.0, gt=0.0)
    max_tokens: int = Field(default=512, ge=1)
    """Output tokens at most, reasoning included."""
    seed: int = 0


class ModelSpec(Frozen):
    """The language model that writes a text."""

    alias: str
    """Entry of models.toml, such as ``deepseek-r1-14b``."""
    repo: str
    """Hub repository, or the digest of a local folder's config and weights index (``folder:<digest>``)."""
    revision: str | None = None
    dtype: str = "auto"
    quantization: str | None = None
    adapter: str | None = None
    """Digest of a LoRA adapter, if one is used."""
    chat_template_digest: str
    reasoning_open: str | None = None
    reasoning_close: str | None = None


class EncoderSpec(Frozen):
    """The text encoder that makes a vector. Two vectors may be compared only if these are equal."""

    name: str
    """Encoder alias, such as ``minilm`` or ``hashing``."""
    model: str
    revision: str | None = None
    pooling: str
    normalized: bool
    embedding_dim: int = Field(ge=1)
    dtype: str = "float32"
    max_tokens: int = Field(ge=1)
    instruction: str = ""
    """Text put before every input."""
    pooling_token: str | None = None
    """The token put after every input whose hidden state is the vector, if one is."""
    adapter: str | None = None
    """Digest of a LoRA adapter, if one is used."""

    ADDED: ClassVar[tuple[str, ...]] = ("pooling_token", "adapter")
    """Fields that joined the spec after the first release. A default is not written down: records and
    digests, also those of vectors and codebooks that hold this spec, stay what they were before."""

    @property
    def digest(self) -> str:
        """Identity of the embedding space."""
        return digest(self.model_dump(mode="json"))

    @model_serializer(mode="wrap")
    def _without_unsaid(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        unsaid = {name for name in self.ADDED if getattr(self, name) == fields[name].default}
        return {name: value for name, value in write(self).items() if name not in unsaid}


class _FeatureSpec(Frozen):
    ADDED: ClassVar[tuple[str, ...]] = ()
    """Fields that joined the spec after the first release. Their defaults say what was done before they were
    there, so a default leaves the digest as it was: stored tables keep their names."""

    feature: Name
    view: Name
    entity: Entity | None

    @property
    def digest(self) -> str:
        """Identity of the feature version: 32 hexadecimal characters."""
        fields = type(self).model_fields
        unsaid = {name for name in self.ADDED if getattr(self, name) == fields[name].default}
        return digest(self.model_dump(mode="json", exclude=unsaid))


class SourceSpec(_FeatureSpec):
    """Rows as ingested: ``feature`` is items, users, interactions, quarantine, or an id map."""

    kind: Literal["source"] = "source"
    entity: Entity | None = None


class TextSpec(_FeatureSpec):
    """One stage of a prompt, run by one model."""

    kind: Literal["text"] = "text"
    origin: Literal["prompt"] = "prompt"
    prompt_digest: str
    """Digest of the chain's system prompt and this stage's template."""
    reads: tuple[str, ...]
    """Entity fields the template reads."""
    upstream: tuple[str, ...] = ()
    """What this stage reads of earlier work: ``forward`` (a stage) or ``item_cot.fused`` (a feature view)."""
    output_schema: dict[str, Any]
    """JSON schema of the answer."""
    text_fields: tuple[str, ...]
    """Fields of the answer that make up the stored text, in order."""
    model: ModelSpec
    sampling: Sampling
    parser_version: int = 1
    cleaner_version: int = 1
    history_size: int | None = None
    """Events sampled of a user's history, if the prompt reads one."""


class PlainTextSpec(_FeatureSpec):
    """Text put together from an entity's own fields, no model involved."""

    kind: Literal["text"] = "text"
    origin: Literal["plain"] = "plain"
    fields: tuple[str, ...]
    template_digest: str
    cleaner_version: int = 1


class ImportedTextSpec(_FeatureSpec):
    """Texts that were made elsewhere."""

    kind: Literal["text"] = "text"
    origin: Literal["import"] = "import"
    producer: str
    """Who or what wrote them, in the words of whoever imports them."""
    content_digest: str
    """Digest of the imported ids and texts."""


class VectorSpec(_FeatureSpec):
    """Vectors of one text view by one encoder, or of other vectors by pooling."""

    ADDED: ClassVar[tuple[str, ...]] = ("aligned_with",)

    kind: Literal["vector"] = "vector"
    origin: Literal["encoder"] = "encoder"
    text_digest: str
    """Digest of the text spec that was encoded."""
    encoder: EncoderSpec
    aligned_with: str | None = None
    """Digests of the vector specs that the encoder was tuned to agree with, sorted, joined with commas."""


class ImportedVectorSpec(_FeatureSpec):
    """Vectors that were made elsewhere."""

    kind: Literal["vector"] = "vector"
    origin: Literal["import"] = "import"
    producer: str
    content_digest: str
    encoder: EncoderSpec
    """As declared by the importer; unknown parts are named ``unknown``."""


class ModelVectorSpec(_FeatureSpec):
    """Vectors that a trained recommender has of users or items, such as LightGCN's final embeddings."""

    kind: Literal["vector"] = "vector"
    origin: Literal["model"] = "model"
    config_digest: str
    """Digest of the saved model: its settings, seed, release and weights."""
    release: str
    """Number of the release that it was fitted on."""
    encoder: EncoderSpec
    """The model as an embedding space: ``name`` is the model's, ``model`` its digest, nothing is pooled."""


class ExactSearch(Frozen):
    """Every pair is scored. Which builder does it makes no difference to the graph."""

    method: Literal["exact"] = "exact"


class IvfSearch(Frozen):
    """Approximate: vectors lie in clusters, and only the nearest clusters of a node are searched."""

    method: Literal["ivf"] = "ivf"
    num_lists: int = Field(ge=1)
    """Clusters."""
    num_probes: int = Field(ge=1)
    """Clusters searched per node."""


class HnswSearch(Frozen):
    """Approximate: greedy walks over a hierarchy of small graphs (Malkov and Yashunin, 2018)."""

    method: Literal["hnsw"] = "hnsw"
    num_links: int = Field(default=32, ge=2)
    build_effort: int = Field(default=80, ge=1)
    """Candidates kept while a node is inserted (efConstruction)."""
    search_effort: int = Field(default=128, ge=1)
    """Candidates kept while neighbours are searched (efSearch)."""


NeighborSearch: TypeAlias = Annotated[ExactSearch | IvfSearch | HnswSearch, Field(discriminator="method")]


class GraphSpec(_FeatureSpec):
    """A kNN graph over one vector version."""

    ADDED: ClassVar[tuple[str, ...]] = ("weights", "self_loops", "symmetry", "max_in_degree", "search")

    kind: Literal["graph"] = "graph"
    origin: Literal["knn"] = "knn"
    vector_digest: str
    """Digest of the vector spec the graph was built from."""
    pooling: Literal["own", "mean_of_train_items"]
    """``own``: the entity's own vector. ``mean_of_train_items``: users as the mean of item vectors."""
    num_neighbors: int = Field(ge=1)
    metric: Literal["cosine"] = "cosine"
    event_set: str | None = None
    """All event sets that the nodes read, sorted, joined with commas; None if they read no events."""
    weights: Literal["cosine", "binary"] = "cosine"
    """What an edge weighs: the similarity of its ends, or 1."""
    self_loops: bool = False
    """Whether every node is its own nearest neighbour, at rank 0."""
    symmetry: Literal["directed", "union", "mutual"] = "directed"
    """``union``: an edge goes both ways if one end names the other; ``mutual``: only if both do."""
    max_in_degree: int | None = Field(default=None, ge=1)
    """Each node keeps so many of its strongest incoming edges; None keeps all."""
    search: NeighborSearch = ExactSearch()


class CodesSpec(_FeatureSpec):
    """Semantic ids: each vector of one version as a few codes, by one set of codebooks."""

    kind: Literal["codes"] = "codes"
    origin: Literal["residual_quantizer", "rq_vae"] = "residual_quantizer"
    """What made the codebooks: k-means over residuals, or an RQ-VAE."""
    vector_digest: str
    """Digest of the vector spec whose vectors are coded."""
    codebook: str
    """Digest of the codebooks, see `featurestore.codes.codebooks`."""
    num_levels: int = Field(ge=1)
    """Codes of one entity, coarse to fine; a collision digit comes after them."""
    codebook_size: int = Field(ge=2)
    """Codes that each level chooses from."""
    beam_size: int = Field(ge=1)
    """Partial codes that are kept at each level while a vector is coded; 1 is greedy."""
    event_set: str | None = None
    """All event sets that the codebooks learned from, sorted, joined with commas; None if there are none."""


class RecommendationsSpec(_FeatureSpec):
    """Top-k lists of a trained model over one release."""

    kind: Literal["recommendations"] = "recommendations"
    origin: Literal["model"] = "model"
    model: str
    config_digest: str
    release: str
    top_k: int = Field(ge=1)


AnyTextSpec: TypeAlias = Annotated[TextSpec | PlainTextSpec | ImportedTextSpec, Field(discriminator="origin")]
VectorLike: TypeAlias = VectorSpec | ImportedVectorSpec | ModelVectorSpec
"""Every spec of vectors; can be asked by ``isinstance``."""
AnyVectorSpec: TypeAlias = Annotated[VectorLike, Field(discriminator="origin")]
AnySpec: TypeAlias = Annotated[
    SourceSpec | AnyTextSpec | AnyVectorSpec | GraphSpec | CodesSpec | RecommendationsSpec,
    Field(discriminator="kind"),
]

_ANY_SPEC: TypeAdapter[AnySpec] = TypeAdapter(AnySpec)


def parse_spec(data: object) -> AnySpec:
    """The spec that ``model_dump(mode="json")`` wrote.

    Raises:
        pydantic.ValidationError: If the data is no spec of this product's version.
    """
    return _ANY_SPEC.validate_python(data)


def table_name(spec: AnySpec) -> str:
    """The table that holds a feature version: ``text.item_cot.fused.<16 characters of the digest>``.

    Source tables keep one name over their life (their versions are the store's): ``source.items``.
    """
    if isinstance(spec, SourceSpec):
        return f"source.{spec.feature}"
    return f"{spec.kind}.{spec.feature}.{spec.view}.{spec.digest[:16]}"
