"""RQ-VAE: its loss and networks against the definition, and the laws that all codebooks keep."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from coded_vectors import ITEMS, build, put_vectors, stored
from pydantic import ValidationError

from featurestore.codes.codebooks import Codebooks, Origin, load_codebooks, network_path
from featurestore.codes.generations import SemanticIdOptions
from featurestore.codes.latent_network import read_network
from featurestore.codes.residual_quantizer import encode
from featurestore.codes.rq_vae_options import RqVaeOptions
from featurestore.errors import InputError, StoreError, UsageError
from featurestore.features import FeatureRegistry
from featurestore.releases.garbage import codebook_paths
from featurestore.stores.memory import MemoryStore

pytest.importorskip("torch")

import torch

from featurestore.codes.rq_vae_training import RqVae, train_rq_vae

Floats = npt.NDArray[np.float32]
TINY = RqVaeOptions(latent_dim=3, hidden_dims=(8, 6), epochs=30, warm_epochs=2, batch_size=16)
OPTIONS = SemanticIdOptions(quantizer="rq_vae", num_levels=2, codebook_size=4, rq_vae=TINY)


def clustered(rng: np.random.Generator, n: int = 400, width: int = 12) -> Floats:
    centers = rng.normal(scale=3.0, size=(16, width))
    return (centers[rng.integers(0, 16, n)] + rng.normal(scale=0.3, size=(n, width)) + 5).astype(np.float32)


def through(layers: Sequence[tuple[Floats, Floats]], row: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """One vector through linear maps with ReLU between them, number by number."""
    for place, (weight, bias) in enumerate(layers):
        row = np.array([sum(w * x for w, x in zip(line, row, strict=True)) for line in weight]) + bias
        if place < len(layers) - 1:
            row = np.array([max(value, 0.0) for value in row])
    return row


def test_the_loss_is_that_of_the_definition(rng: np.random.Generator) -> None:
    torch.manual_seed(3)
    model = RqVae((5, 4, 2), num_levels=3, codebook_size=4)
    with torch.no_grad():
        model.codebooks.copy_(torch.from_numpy(rng.normal(size=(3, 4, 2)).astype(np.float32)))
    vectors = rng.normal(size=(6, 5)).astype(np.float32)
    encoder, decoder = (
        [
            (part.weight.detach().numpy(), part.bias.detach().numpy())
            for part in layers
            if hasattr(part, "weight")
        ]
        for layers in (model.encoder, model.decoder)
    )
    books = model.codebooks.detach().numpy().astype(np.float64)
    expected = 0.0
    for vector in vectors.astype(np.float64):
        residual, coded = through(encoder, vector), np.zeros(2)
        for book in books:
            nearest = min(book, key=lambda centroid: ((residual - centroid) ** 2).sum())
            expected += 1.25 * float(((residual - nearest) ** 2).sum())
            residual, coded = residual - nearest, coded + nearest
        expected += float(((vector - through(decoder, coded)) ** 2).sum())
    loss = model(torch.from_numpy(vectors), 0.25)
    assert loss.item() == pytest.approx(expected / 6, rel=1e-4)
    loss.backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters())


def test_gradients_pass_codes_straight_through() -> None:
    """With no commitment, the encoder's gradient is what the decoder asks of the coded latent."""
    model = RqVae((2, 2), num_levels=1, codebook_size=2)
    with torch.no_grad():
        for layer in (model.encoder[0], model.decoder[0]):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
        model.codebooks.copy_(torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]]))
    vector = torch.tensor([[0.5, 0.25]])
    model(vector, 0.0).backward()
    pulled = 2 * (torch.tensor([1.0, 0.0]) - vector[0])  # of ‖x - x̂‖² at x̂ = the centroid
    torch.testing.assert_close(model.encoder[0].bias.grad, pulled)
    torch.testing.assert_close(model.codebooks.grad[0, 0], 2 * (torch.tensor([1.0, 0.0]) - vector[0]))


def test_training_keeps_more_than_the_mean_and_is_repeatable(rng: np.random.Generator) -> None:
    vectors = clustered(rng)
    options = TINY.model_copy(update={"epochs": 120, "hidden_dims": (16,)})
    network, centroids = train_rq_vae(vectors, options, num_levels=3, codebook_size=8)
    assert network.widths == (12, 16, 3)
    assert (centroids.shape, centroids.dtype) == ((3, 8, 3), np.float32)
    codes = encode(network.latents(vectors), centroids, beam_size=1)
    decoded = network.vectors(sum(centroids[level][codes[:, level]] for level in range(3)))
    spread = ((vectors - vectors.mean(axis=0)) ** 2).sum()
    assert ((vectors - decoded) ** 2).sum() < 0.4 * spread
    again, same = train_rq_vae(vectors, options, num_levels=3, codebook_size=8)
    assert again.file == network.file
    np.testing.assert_array_equal(same, centroids)


def test_networks_are_applied_as_the_definition_says_and_come_back_from_their_file(
    rng: np.random.Generator,
) -> None:
    network, _ = train_rq_vae(clustered(rng, 40), TINY, num_levels=1, codebook_size=4)
    row = rng.normal(size=12).astype(np.float32)
    np.testing.assert_allclose(
        network.latents(row[None])[0], through(network.encoder, row.astype(np.float64)), rtol=1e-4, atol=1e-5
    )
    latents = rng.normal(size=(2, 3, 3)).astype(np.float32)
    expected = through(network.decoder, latents[1, 2].astype(np.float64))
    np.testing.assert_allclose(network.vectors(latents)[1, 2], expected, rtol=1e-4, atol=1e-5)
    loaded = read_network(network.file, network.widths)
    np.testing.assert_array_equal(loaded.latents(row[None]), network.latents(row[None]))
    np.testing.assert_array_equal(loaded.vectors(latents), network.vectors(latents))
    with pytest.raises(InputError, match=r"a network of widths 12, 3 has 87 numbers, found \(\d+,\)"):
        read_network(network.file, (12, 3))
    with pytest.raises(InputError, match="the network of a codebook cannot be read"):
        read_network(b"no array", (12, 3))


def test_a_start_is_where_the_last_training_ended(rng: np.random.Generator) -> None:
    vectors = clustered(rng, 60)
    network, centroids = train_rq_vae(vectors, TINY, num_levels=2, codebook_size=4)
    still = TINY.model_copy(update={"warm_epochs": 1, "learning_rate": 1e-12})
    same, kept = train_rq_vae(vectors + 1, still, num_levels=2, codebook_size=4, start=(network, centroids))
    np.testing.assert_allclose(kept, centroids, atol=1e-5)
    np.testing.assert_allclose(same.latents(vectors), network.latents(vectors), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(
        same.vectors(centroids[0]), network.vectors(centroids[0]), rtol=1e-3, atol=1e-3
    )


def test_codes_come_from_frozen_networks_and_only_news_is_coded() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS)
    first = build(store, options=OPTIONS)
    assert (first.trained, first.spec.origin, first.num_coded) == (True, "rq_vae", 40)
    codes = stored(store, first)
    assert len(set(codes.values())) == 40
    origin = load_codebooks(store.objects, first.spec.codebook).origin
    assert (origin.network, origin.iterations, origin.num_vectors) == ((4, 8, 6, 3), 30, 40)
    assert first.quality.levels[0].codes_used > 1

    again = build(store, options=OPTIONS)
    assert (again.changed, again.trained, again.num_coded) == (False, False, 0)
    put_vectors(store, {**ITEMS, "i99": "A text about a kettle.", "i00": "Another text."})
    more = build(store, options=OPTIONS)
    assert (more.num_coded, more.num_new, more.spec.codebook) == (2, 1, first.spec.codebook)
    now = stored(store, more)
    assert {item: now[item] for item in ITEMS if item != "i00"} == {
        i: c for i, c in codes.items() if i != "i00"
    }


def test_new_networks_start_from_the_old_ones_and_the_old_ones_can_be_gone_back_to() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS)
    first = build(store, options=OPTIONS)
    new = build(store, options=OPTIONS, codebook="new")
    assert (new.trained, new.warm_start) == (True, first.spec.codebook)
    assert load_codebooks(store.objects, new.spec.codebook).origin.iterations == 2
    back = build(store, options=OPTIONS, codebook=first.spec.codebook[:8])
    assert stored(store, back) == stored(store, first)
    wider = OPTIONS.model_copy(update={"rq_vae": TINY.model_copy(update={"latent_dim": 4})})
    with pytest.raises(UsageError, match=r"\[8, 6\] and latent_dim 3 \(asked for: .* latent_dim 4\)"):
        build(store, options=wider)
    anew = build(store, options=wider, codebook="new")
    assert (anew.trained, anew.warm_start) == (True, None)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rq_vae": {"latent_dim": 3}}, "rq_vae has no effect with quantizer=residual_quantizer"),
        ({"quantizer": "rq_vae", "iterations": 20}, "iterations has no effect with quantizer=rq_vae"),
        ({"quantizer": "rq_vae", "warm_iterations": 5}, "warm_iterations has no effect"),
    ],
)
def test_settings_of_the_other_quantiser_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SemanticIdOptions.model_validate(settings)


def test_one_quantiser_does_not_take_the_place_of_the_other_unasked() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS)
    plain = build(store)
    assert plain.spec.origin == "residual_quantizer"
    with pytest.raises(UsageError, match=r"quantizer residual_quantizer \(asked for: rq_vae\)"):
        build(store, options=OPTIONS)
    learned = build(store, options=OPTIONS, codebook="new")
    assert (learned.spec.origin, learned.warm_start) == ("rq_vae", None)
    assert FeatureRegistry(store).head("codes", "sid", "text").spec == learned.spec


def test_the_digest_covers_networks_and_damage_is_named(rng: np.random.Generator) -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS)
    spec = build(store, options=OPTIONS).spec
    books = load_codebooks(store.objects, spec.codebook)
    assert books.digest == spec.codebook
    assert books.network is not None
    other, _ = train_rq_vae(clustered(rng, 40, width=4), TINY, num_levels=1, codebook_size=4)
    assert Codebooks(books.centroids, books.origin, other).digest != spec.codebook
    assert Codebooks(books.centroids, books.origin).digest != spec.codebook
    assert set(store.objects.list(f"codebooks/{spec.codebook}/")) == set(codebook_paths(spec.codebook))
    store.objects.delete(network_path(spec.codebook))
    with pytest.raises(StoreError, match="is damaged: its centroids are others than its name says"):
        load_codebooks(store.objects, spec.codebook)


def test_codebooks_without_a_network_say_nothing_of_one() -> None:
    """What was stored before there were networks stays what it was, to the byte."""
    store = MemoryStore()
    put_vectors(store, ITEMS)
    spec = build(store).spec
    about = store.objects.read(f"codebooks/{spec.codebook}/about.json")
    assert b"network" not in about
    assert Origin.model_validate_json(about).network is None
    assert len(store.objects.list(f"codebooks/{spec.codebook}/")) == 2
