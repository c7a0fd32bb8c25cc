import numpy as np
import pytest
import torch
from pydantic import ValidationError

from recommender.interests.first_layer import InterestLayer
from recommender.models.isrf import Config

VECTORS = np.random.default_rng(4).standard_normal((5, 6)).astype(np.float32)


def layer(vectors: np.ndarray | None = VECTORS, **settings) -> InterestLayer:
    config = Config(**({"embedding_dim": 4, "init_std": 0.3, "fusion": "replace"} | settings))
    generator = torch.Generator().manual_seed(3)
    made = InterestLayer(config, num_users=3, num_items=5, item_vectors=vectors, generator=generator)
    with torch.no_grad():  # the first biases are zero
        for weight in made.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.2)
    return made


def adapted_by_hand(made: InterestLayer, *, activation: bool) -> np.ndarray:
    """Eq. 2, an item at a time."""
    names = ("scaled_in", "bias_in", "scaled_out", "bias_out")
    w1, b1, w2, b2 = (getattr(made.adapter, name).detach().double().numpy() for name in names)
    assert w1.shape == (5, 6)  # hidden size (d' + d)/2
    w1, w2 = w1 / 6, w2 / 5
    items = []
    for text in VECTORS.astype(np.float64):
        hidden = w1 @ text + b1
        items.append(w2 @ (np.maximum(hidden, 0) if activation else hidden) + b2)
    return np.stack(items)


@pytest.mark.parametrize("fusion", ["replace", "add"])
@pytest.mark.parametrize("adapter", ["linear", "relu"])
def test_items_are_adapted_texts(fusion, adapter):
    made = layer(fusion=fusion, adapter=adapter)
    expected = adapted_by_hand(made, activation=adapter == "relu")
    ids = made.ids.detach().double().numpy()
    assert len(ids) == (3 if fusion == "replace" else 8)
    expected += ids[3:] if fusion == "add" else 0
    found = made().detach().numpy()
    np.testing.assert_allclose(found[3:], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[:3], made.ids[:3].detach().numpy())


def test_without_adapter_texts_are_frozen():
    made = layer(adapter="none")
    np.testing.assert_allclose(made().detach().numpy()[3:], 0.3 * VECTORS[:, :4], rtol=1e-6)
    assert [name for name, _ in made.named_parameters()] == ["ids"]
    narrow = layer(VECTORS[:, :2], adapter="none")()[3:].detach().numpy()
    np.testing.assert_allclose(narrow[:, :2], 0.3 * VECTORS[:, :2], rtol=1e-6)
    assert not narrow[:, 2:].any()


@pytest.mark.parametrize(("vectors", "fusion"), [(VECTORS, "none"), (None, "replace"), (None, "add")])
def test_without_texts_items_are_ids(vectors, fusion):
    made = layer(vectors, fusion=fusion)
    assert made() is made.ids
    assert made.ids.shape == (8, 4)


def test_gradients_reach_every_weight_and_no_text():
    for adapter in ("linear", "relu"):
        made = layer(adapter=adapter, fusion="add")
        made().square().sum().backward()
        for name, weight in made.named_parameters():
            assert weight.grad is not None, name
            assert weight.grad.abs().sum() > 0, name
        assert "adapter.vectors" not in dict(made.named_parameters())


def test_other_fusions_are_refused():
    with pytest.raises(ValidationError, match="isrf has no fusion 'gate'; take replace, add or none"):
        Config(fusion="gate")


@pytest.mark.parametrize("adapter", ["linear", "relu"])
def test_a_faster_text_begins_as_small_and_moves_farther(adapter):
    vectors = np.random.default_rng(1).normal(size=(400, 64)).astype(np.float32)
    config = Config(embedding_dim=16, init_std=0.1, fusion="replace", adapter=adapter)
    moved = {}
    for pace in (1.0, 8.0):
        made = InterestLayer(
            config.model_copy(update={"text_pace": pace}),
            num_users=3,
            num_items=400,
            item_vectors=vectors,
            generator=torch.Generator().manual_seed(3),
        )
        before = made()[3:]
        assert before.std().item() == pytest.approx(0.1, rel=0.3)
        optimizer = torch.optim.Adam([w for name, w in made.named_parameters() if name != "ids"], lr=1e-3)
        before.sum().backward()
        optimizer.step()
        moved[pace] = (made()[3:] - before).abs().mean().item()
    assert 3 < moved[8.0] / moved[1.0] < 10
