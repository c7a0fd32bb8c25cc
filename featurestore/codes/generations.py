"""Which codebooks code the vectors of a feature view: the current ones, earlier ones, or new ones."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from featurestore.codes.codebooks import Centroids, Codebooks, Origin, load_codebooks
from featurestore.codes.latent_network import LatentNetwork
from featurestore.codes.residual_quantizer import retrain_centroids, train_centroids
from featurestore.codes.rq_vae_options import RqVaeOptions
from featurestore.codes.vector_rows import VectorRows
from featurestore.errors import EmbeddingSpaceError, UnknownNameError, UsageError, missing_extra
from featurestore.features import FeatureRegistry
from featurestore.spec import AnyVectorSpec, CodesSpec, Frozen
from featurestore.store import Store

CURRENT: Final = "current"
NEW: Final = "new"

_VECTORS_PER_CODE: Final = 256
"""Training reads so many vectors for each code of a level at most: more do not move k-means."""
_SAMPLE_SEED: Final = 20240229


class SemanticIdOptions(Frozen):
    """How codebooks are trained, and vectors coded with them. Changes take effect with new codebooks."""

    quantizer: Literal["residual_quantizer", "rq_vae"] = "residual_quantizer"
    """K-means over residuals of the vectors, or an RQ-VAE, which needs torch to be trained, not to code."""
    num_levels: int = Field(default=3, ge=1, le=16)
    """Codes of one entity."""
    codebook_size: int = Field(default=256, ge=2, le=65_536)
    """Codes that each level chooses from: a power of two."""
    beam_size: int = Field(default=1, ge=1, le=256)
    """Partial codes that are kept at each level while a vector is coded; 1 is greedy."""
    iterations: int = Field(default=10, ge=1)
    """Rounds of k-means per level."""
    warm_iterations: int = Field(default=2, ge=1)
    """The same where training starts from earlier codebooks: each round moves more codes."""
    rq_vae: RqVaeOptions = RqVaeOptions()
    """How an RQ-VAE is trained."""

    @field_validator("codebook_size")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError(f"codebook_size must be a power of two, such as 256, got {value}")
        return value

    @model_validator(mode="after")
    def _everything_has_an_effect(self) -> "SemanticIdOptions":
        unread = ("iterations", "warm_iterations") if self.quantizer == "rq_vae" else ("rq_vae",)
        for name in unread:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no effect with quantizer={self.quantizer}; leave it out")
        return self


@dataclass(frozen=True, slots=True)
class Generation:
    """Codebooks to code with.

    Attributes:
        spec: Of the codes that they will give.
        codebooks: The codebooks.
        trained: Whether they are new.
    """

    spec: CodesSpec
    codebooks: Codebooks
    trained: bool = False


def choose_generation(
    store: Store, vectors: VectorRows, *, codebook: str, options: SemanticIdOptions
) -> Generation:
    """The codebooks to code vectors with; new ones are trained and stored.

    Args:
        store: Holds earlier codebooks, and takes new ones.
        vectors: What is to be coded.
        codebook: `CURRENT`: those of the head, trained first if there is no head. `NEW`: newly trained ones,
            starting from the head's where these fit. Else the first characters of an earlier digest.
        options: How to train.

    Raises:
        UsageError: If the options ask for another shape or beam than the current codebooks have.
        UnknownNameError: If there are no codebooks of that digest; those there are are listed.
        EmbeddingSpaceError: If the codebooks were trained in another space than the vectors lie in.
        InputError: If there are too few vectors to train on.
    """
    specs = coded_specs(store, vectors.spec.feature, vectors.spec.view)
    if codebook == NEW or (codebook == CURRENT and not specs):
        return _train(store, vectors, specs[0] if specs else None, options)
    if codebook == CURRENT:
        chosen = specs[0]
        _require_shape(chosen, options)
    else:
        chosen = _find(specs, codebook)
    codebooks = load_codebooks(store.objects, chosen.codebook)
    _require_space(codebooks, vectors.spec)
    if codebook == CURRENT:
        _require_network(chosen, codebooks, _widths(vectors, options))
    return Generation(chosen.model_copy(update={"vector_digest": vectors.spec.digest}), codebooks)


def coded_specs(store: Store, feature: str, view: str) -> list[CodesSpec]:
    """Specs of all semantic ids that a feature view ever had, the current one first."""
    history = FeatureRegistry(store).history("codes", feature, view)
    return [version.spec for version in history if isinstance(version.spec, CodesSpec)]


def _find(specs: list[CodesSpec], digest: str) -> CodesSpec:
    found = {spec.codebook: spec for spec in reversed(specs) if spec.codebook.startswith(digest)}
    if len(found) != 1:
        known = {CURRENT, NEW, *(spec.codebook[:16] for spec in specs)}
        raise UnknownNameError("codebook", digest, known)
    return next(iter(found.values()))


def _train(
    store: Store, vectors: VectorRows, head: CodesSpec | None, options: SemanticIdOptions
) -> Generation:
    start = _start(store, vectors, head, options)
    ids = vectors.sample(_VECTORS_PER_CODE * options.codebook_size, seed=_SAMPLE_SEED)
    network, centroids, rounds = _trained(vectors.matrix(ids), start, options)
    origin = Origin(
        encoder=vectors.spec.encoder,
        num_vectors=len(ids),
        event_set=vectors.event_set,
        warm_start=start.digest if start else None,
        iterations=rounds,
        network=None if network is None else network.widths,
    )
    codebooks = Codebooks(centroids, origin, network)
    codebooks.save(store.objects)
    return Generation(_spec(vectors, codebooks, options), codebooks, trained=True)


def _trained(
    matrix: npt.NDArray[np.float32], start: Codebooks | None, options: SemanticIdOptions
) -> tuple[LatentNetwork | None, Centroids, int]:
    """(network of an RQ-VAE, centroids, rounds of training) of (n, d) vectors."""
    if options.quantizer == "rq_vae":
        try:
            from featurestore.codes.rq_vae_training import train_rq_vae
        except ModuleNotFoundError as error:
            raise missing_extra(error.name or "torch", "train") from error
        begun = None if start is None or start.network is None else (start.network, start.centroids)
        epochs = options.rq_vae.epochs if begun is None else options.rq_vae.warm_epochs
        shape = {"num_levels": options.num_levels, "codebook_size": options.codebook_size}
        return *train_rq_vae(matrix, options.rq_vae, **shape, start=begun), epochs
    if start is not None:
        moved = retrain_centroids(matrix, start.centroids, iterations=options.warm_iterations)
        return None, moved, options.warm_iterations
    centroids = train_centroids(
        matrix,
        num_levels=options.num_levels,
        codebook_size=options.codebook_size,
        iterations=options.iterations,
    )
    return None, centroids, options.iterations


def _spec(vectors: VectorRows, codebooks: Codebooks, options: SemanticIdOptions) -> CodesSpec:
    return CodesSpec(
        feature=vectors.spec.feature,
        view=vectors.spec.view,
        entity=vectors.spec.entity,
        origin="residual_quantizer" if codebooks.network is None else "rq_vae",
        vector_digest=vectors.spec.digest,
        codebook=codebooks.digest,
        num_levels=codebooks.num_levels,
        codebook_size=codebooks.codebook_size,
        beam_size=options.beam_size,
        event_set=codebooks.origin.event_set,
    )


def _start(
    store: Store, vectors: VectorRows, head: CodesSpec | None, options: SemanticIdOptions
) -> Codebooks | None:
    """The head's codebooks if training may start from them: same shape, same space, and no other events.

    Codebooks that learned from the events of an earlier split would hand them on to their successors.
    """
    if head is None or (head.num_levels, head.codebook_size) != (options.num_levels, options.codebook_size):
        return None
    codebooks = load_codebooks(store.objects, head.codebook)
    if codebooks.origin.network != _widths(vectors, options):
        return None
    theirs = set((codebooks.origin.event_set or "").split(","))
    ours = {"", *(vectors.event_set or "").split(",")}
    same_space = codebooks.origin.encoder.digest == vectors.spec.encoder.digest
    return codebooks if same_space and theirs <= ours else None


def _widths(vectors: VectorRows, options: SemanticIdOptions) -> tuple[int, ...] | None:
    """Of the network that the options ask for; None if for none."""
    if options.quantizer != "rq_vae":
        return None
    return (vectors.spec.encoder.embedding_dim, *options.rq_vae.hidden_dims, options.rq_vae.latent_dim)


def _require_shape(spec: CodesSpec, options: SemanticIdOptions) -> None:
    asked = {
        "quantizer": (spec.origin, options.quantizer),
        "num_levels": (spec.num_levels, options.num_levels),
        "codebook_size": (spec.codebook_size, options.codebook_size),
        "beam_size": (spec.beam_size, options.beam_size),
    }
    other = {name: pair for name, pair in asked.items() if pair[0] != pair[1]}
    if other:
        differences = ", ".join(
            f"{name} {has} (asked for: {wanted})" for name, (has, wanted) in other.items()
        )
        raise _other_shape(spec, differences)


def _require_network(spec: CodesSpec, codebooks: Codebooks, asked: tuple[int, ...] | None) -> None:
    """Widths of the network of an RQ-VAE; the vectors' own are `_require_space`'s."""
    has = codebooks.origin.network
    if has != asked and has is not None and asked is not None:
        layers = [f"hidden_dims {list(w[1:-1])} and latent_dim {w[-1]}" for w in (has, asked)]
        raise _other_shape(spec, f"{layers[0]} (asked for: {layers[1]})")


def _other_shape(spec: CodesSpec, differences: str) -> UsageError:
    return UsageError(
        f"the current codebooks of {spec.feature}.{spec.view} have {differences}.",
        hint="Set [semantic_ids] back to these, or train new codebooks with --codebook new: ids move.",
    )


def _require_space(codebooks: Codebooks, vectors: AnyVectorSpec) -> None:
    theirs, ours = codebooks.origin.encoder, vectors.encoder
    if theirs.digest != ours.digest:
        raise EmbeddingSpaceError(
            f"the codebooks {codebooks.digest[:16]} were trained on vectors of {theirs.name!r} "
            f"({theirs.model}, {theirs.embedding_dim} columns); {vectors.feature}.{vectors.view} now holds "
            f"vectors of {ours.name!r} ({ours.model}, {ours.embedding_dim} columns).",
            hint="Train new codebooks with --codebook new (all semantic ids change), or embed with the "
            "encoder of before.",
        )
