"""Settings of the generative form, and the four published systems as settings of it.

    p5        words are numbered along the input, the task is said in words        Geng et al., RecSys 2022
    pod       as p5, with prompt vectors before the words                          Li et al., CIKM 2023
    elmrec    words are LightGCN's propagation of random vectors                   Wang et al., EMNLP 2024
    isrf      words are LightGCN of adapted texts, users have group interests too  arXiv 2603.13934

All of them are decoded in the same way (`recommender.generative.decode`), which is ours: the authors' code
lets a model write whatever it likes, and puts random items where that is none.
"""

from typing import Final, Literal, TypeAlias

from pydantic import Field, model_validator

from featurestore.spec import Frozen
from recommender.interests.agreement import AlignForm
from recommender.interests.first_layer import Adapter, InterestLayerConfig
from recommender.interests.user_graph import UserGraph

Tokens: TypeAlias = Literal["sequential", "shuffled", "codes"]
WordEmbeddings: TypeAlias = Literal["none", "positional", "graph"]

_SIZES: Final = ("embedding_dim", "num_blocks", "num_heads", "hidden_dim")
_OF_WORDS: Final = ("word_scale", "init_std")
_OF_TEXTS: Final = ("adapter", "pca_components")
_OF_ALIGNMENT: Final = ("align", "temperature")
_OF_GROUPS: Final = ("user_graph", "num_neighbors", "group_layers", *_OF_ALIGNMENT)
_WEIGHTS_OF_GROUPS: Final = ("group_weight", "distillation_weight", "sequence_weight")
_OF_GRAPH: Final = ("num_layers", "fusion", *_OF_TEXTS, *_WEIGHTS_OF_GROUPS, *_OF_GROUPS)


class GenerativeConfig(Frozen):
    """Settings of the generative form."""

    tokens: Tokens = Field(
        default="shuffled",
        description="What names an item: its number in P5's order (which leaks), a shuffled number, or its "
        "semantic id.",
    )
    num_digits: int = Field(default=2, ge=1, le=8, description="Tokens of a number, of items and of users.")
    weights: str | None = Field(
        default=None, description="Folder or hub name of a T5; none begins with random weights."
    )
    embedding_dim: int = Field(default=128, ge=2, description="Dimensions d; t5-small has 512.")
    num_blocks: int = Field(default=2, ge=1, description="Blocks of encoder and decoder; t5-small has 6.")
    num_heads: int = Field(default=4, ge=1, description="Attention heads; t5-small has 8.")
    hidden_dim: int = Field(default=512, ge=1, description="Width of feed-forward layers; t5-small: 2048.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="T5's dropout.")
    prompts: int = Field(default=3, ge=0, description="Prompt vectors of a task; 0 leaves them out.")
    word_embeddings: WordEmbeddings = Field(
        default="graph",
        description="What whole words are: numbered places, nodes of the graph, or nothing.",
    )
    word_scale: float = Field(default=1.0, gt=0, description="Weight a of whole-word embeddings.")
    init_std: float = Field(default=1.0, gt=0, description="Standard deviation s of new vectors of words.")
    num_layers: int = Field(default=2, ge=0, description="Propagation layers L; 4 in the authors' code.")
    fusion: Literal["replace", "add", "none"] = Field(
        default="replace", description="Items are their texts (E_V), IDs and texts, or IDs."
    )
    adapter: Adapter = Field(default="linear", description="Between the frozen projection and E_V.")
    pca_components: int = Field(default=128, ge=1, description="Dimensions d' of the frozen projection.")
    user_graph: UserGraph = Field(default="features", description="Who users resemble.")
    num_neighbors: int = Field(default=100, ge=1, description="Neighbours K of a user in that graph.")
    group_layers: int = Field(default=1, ge=0, description="Propagation layers L_u over users.")
    group_weight: float = Field(
        default=1.0, ge=0, description="Weight of H in user words (ours); 0 is the paper's literal form."
    )
    align: AlignForm = Field(
        default="infonce_cos", description="Form of eq. 8-9: the paper's text, or its code (soft_dot)."
    )
    temperature: float = Field(default=0.2, gt=0, description="Temperature τ of the alignment.")
    distillation_weight: float = Field(default=1.0, ge=0, description="Weight of eq. 8, in direct batches.")
    sequence_weight: float = Field(default=1.0, ge=0, description="Weight of eq. 9, in sequential batches.")
    max_history: int = Field(default=20, ge=1, description="Newest items of a history that are read.")
    candidates: int = Field(default=100, ge=2, description="Items that the direct task chooses from.")
    direct_every: int = Field(
        default=0, ge=0, description="Every n-th batch is one of the direct task, from 2 on; 0: none."
    )
    epochs: int = Field(default=30, ge=1, description="Passes over the users at most.")
    batch_size: int = Field(default=128, ge=1, description="Users of an optimiser step.")
    learning_rate: float = Field(default=1e-3, gt=0, description="Step size of AdamW.")
    weight_decay: float = Field(default=0.01, ge=0, description="Of AdamW.")
    warmup_steps: int = Field(default=200, ge=0, description="Steps over which the step size rises.")
    eval_every: int = Field(default=2, ge=1, description="Epochs between two validations.")
    patience: int = Field(default=5, ge=1, description="Validations without a better value before the end.")
    valid_users: int = Field(default=2000, ge=1, description="Users that a validation decodes at most.")
    beam_size: int = Field(
        default=20, ge=10, description="Beginnings of items that decoding keeps; validation lists ten."
    )
    device: Literal["cpu", "cuda"] = Field(default="cpu", description="Where to train and decode.")

    @model_validator(mode="after")
    def _fits_together(self) -> "GenerativeConfig":
        if self.embedding_dim % self.num_heads:
            raise ValueError(
                f"embedding_dim {self.embedding_dim} is no multiple of num_heads {self.num_heads}"
            )
        if self.direct_every == 1:
            raise ValueError("direct_every 1 leaves out the sequential task, which validation decodes")
        return self

    @model_validator(mode="after")
    def _everything_has_an_effect(self) -> "GenerativeConfig":
        """Only values that differ from defaults are looked at: a saved model's settings name all."""
        causes = _without_effect(self)
        unread = [
            f"{name}={getattr(self, name)} has no effect with {causes[name]}"
            for name, field in GenerativeConfig.model_fields.items()
            if name in causes and getattr(self, name) != field.default
        ]
        if unread:
            raise ValueError("; ".join(unread))
        return self

    @property
    def has_groups(self) -> bool:
        """Whether H is read by anything."""
        return self.word_embeddings == "graph" and (self.group_weight > 0 or self.aligns)

    @property
    def aligns(self) -> bool:
        """Whether eq. 8 or 9 is in the loss of any batch."""
        distils = self.direct_every > 0 and self.distillation_weight > 0
        return self.word_embeddings == "graph" and (self.sequence_weight > 0 or distils)

    def layer_zero(self, embedding_dim: int) -> InterestLayerConfig:
        """Settings of E(0), whose width is the T5's."""
        return InterestLayerConfig(
            embedding_dim=embedding_dim, init_std=self.init_std, fusion=self.fusion, adapter=self.adapter
        )


def _without_effect(config: GenerativeConfig) -> dict[str, str]:
    """Settings that nothing reads → why, and what would."""
    words = config.word_embeddings
    has_graph, no_direct = words == "graph", not config.direct_every
    rules: list[tuple[bool, tuple[str, ...], str]] = [  # the first one that holds says it
        (config.weights is not None, _SIZES, f"weights={config.weights}, whose folder says it; leave it out"),
        (words == "none", _OF_WORDS, "word_embeddings=none; set word_embeddings=graph, or leave it out"),
        (
            not has_graph,
            _OF_GRAPH,
            f"word_embeddings={words}, which has no graph; set word_embeddings=graph, or leave it out",
        ),
        (
            config.fusion == "none",
            _OF_TEXTS,
            "fusion=none; set fusion=replace or fusion=add, or leave it out",
        ),
        (
            no_direct,
            ("candidates",),
            "direct_every=0, without batches of the direct task; set direct_every=2, or leave it out",
        ),
        (
            no_direct and (config.distillation_weight > 0 or config.has_groups),
            ("distillation_weight",),
            "direct_every=0, for eq. 8 is of direct batches; set direct_every=2, or leave it out",
        ),
        (
            not config.has_groups,
            _OF_GROUPS,
            "group_weight=0 and neither eq. 8 nor eq. 9: there are no groups; set a weight, or leave it out",
        ),
        (
            not config.aligns,
            _OF_ALIGNMENT,
            "neither eq. 8 nor eq. 9 in the loss; set sequence_weight, or leave it out",
        ),
        (config.user_graph == "none", ("num_neighbors",), "user_graph=none; set another, or leave it out"),
    ]
    return {name: cause for holds, names, cause in reversed(rules) if holds for name in names}


_NO_GROUPS: Final = dict.fromkeys(_WEIGHTS_OF_GROUPS, "0")

SYSTEMS: Final[dict[str, dict[str, str]]] = {
    "p5": {"word_embeddings": "positional", "prompts": "0"},
    "pod": {"word_embeddings": "positional"},
    "elmrec": {"fusion": "none", **_NO_GROUPS},
    "isrf": {},
}
"""Settings, as text, that make the model one of the published systems; defaults for the rest."""
