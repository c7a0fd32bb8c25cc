"""Each fusion against its formula, on numbers small enough to compute by hand."""

import numpy as np
import pytest
import torch

from recommender.text.layer_zero import LayerZero, LinearAdapter
from recommender.training.embedding_config import FUSIONS, EmbeddingConfig

VECTORS = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)


def layer(fusion: str, *, dim: int = 4, vectors: np.ndarray = VECTORS) -> LayerZero:
    config = EmbeddingConfig(embedding_dim=dim, fusion=fusion)
    generator = torch.Generator().manual_seed(1)
    return LayerZero(config, num_users=3, num_items=5, item_vectors=vectors, generator=generator)


def test_adapter_equals_two_linear_layers_one_after_the_other():
    features = torch.from_numpy(VECTORS)
    adapter = LinearAdapter(features, EmbeddingConfig(embedding_dim=4), torch.Generator().manual_seed(1))
    with torch.no_grad():
        adapter.bias_in.normal_(generator=torch.Generator().manual_seed(2))
        adapter.bias_out.normal_(generator=torch.Generator().manual_seed(3))
    hidden = torch.nn.functional.linear(features, adapter.scaled_in / 6, adapter.bias_in)
    expected = torch.nn.functional.linear(hidden, adapter.scaled_out / 5, adapter.bias_out)
    assert adapter.scaled_in.shape == (5, 6)  # hidden size (d' + d) / 2
    torch.testing.assert_close(adapter(torch.zeros(0, 4)), expected)


def test_users_without_vectors_keep_their_ids():
    for fusion in FUSIONS:
        zero = layer(fusion)
        assert zero().shape == (8, 4)
        torch.testing.assert_close(zero()[:3], zero.ids[:3])


def test_replaced_items_have_no_id_embedding():
    assert [len(layer(fusion).ids) for fusion in ("replace", "add")] == [3, 8]


def test_add_and_gate_and_concat_equal_their_formulas():
    for fusion in ("add", "gate", "concat"):
        zero = layer(fusion)
        fused, ids = zero.fused[1], zero.ids[3:]
        match fusion:
            case "add":
                expected = ids + fused.adapter(ids)
            case "gate":
                adapted = fused.adapter(ids)
                gate = torch.stack(
                    [(fused.weight[:, 0] * torch.cat(pair)).sum() for pair in zip(ids, adapted, strict=True)]
                )
                gate = torch.sigmoid(gate + fused.bias)[:, None]
                expected = gate * ids + (1 - gate) * adapted
            case _:
                both = torch.cat([ids, torch.from_numpy(VECTORS)], dim=1)
                expected = (
                    both @ torch.cat([fused.scaled_own / 4, fused.scaled_text / 6], dim=1).T + fused.bias
                )
        torch.testing.assert_close(zero()[3:], expected)


@pytest.mark.parametrize("dim", [4, 9])
def test_init_starts_from_the_vectors_and_is_free_afterwards(dim):
    vectors = VECTORS.copy()
    vectors[2] = 0.0  # an item without a vector
    zero, shared = layer("init", dim=dim, vectors=vectors), min(dim, 6)
    block = zero().detach()[3:]
    known = [0, 1, 3, 4]
    scale = 0.1 / torch.from_numpy(vectors[known, :shared]).std()
    torch.testing.assert_close(block[known, :shared], torch.from_numpy(vectors[known, :shared]) * scale)
    assert block[2].abs().sum() > 0
    assert [name for name, _ in zero.named_parameters()] == ["ids"]


def test_none_does_not_look_at_vectors():
    torch.testing.assert_close(layer("none")(), layer("none", vectors=-VECTORS)())


@pytest.mark.parametrize("fusion", ["replace", "add", "concat", "gate", "init"])
def test_every_parameter_gets_a_gradient(fusion):
    zero = layer(fusion)
    zero().square().sum().backward()
    for name, parameter in zero.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_both_sides_may_have_vectors_of_spaces_of_their_own():
    config = EmbeddingConfig(embedding_dim=4, fusion="replace")
    users = np.ones((3, 2), np.float32)
    generator = torch.Generator().manual_seed(0)
    zero = LayerZero(
        config, num_users=3, num_items=5, user_vectors=users, item_vectors=VECTORS, generator=generator
    )
    assert zero.ids.shape == (0, 4)
    torch.testing.assert_close(zero()[0], zero()[1])
    assert not torch.allclose(zero()[3], zero()[4])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_items_begin_about_as_long_as_users(fusion):
    generator = torch.Generator().manual_seed(1)
    vectors = np.random.default_rng(1).standard_normal((400, 128)).astype(np.float32)
    config = EmbeddingConfig(fusion=fusion)
    zero = LayerZero(config, num_users=400, num_items=400, item_vectors=vectors, generator=generator)
    users, items = zero().detach().split(400)
    assert 0.6 < items.std() / users.std() < 1.6


@pytest.mark.parametrize("num_inputs", [8, 512])
@pytest.mark.parametrize("fusion", ["replace", "add", "gate", "concat"])
def test_texts_are_learned_no_faster_than_ids_however_wide_they_are(fusion, num_inputs):
    vectors = np.random.default_rng(1).standard_normal((5, num_inputs)).astype(np.float32)
    zero = layer(fusion, vectors=vectors)
    optimizer = torch.optim.Adam([w for name, w in zero.named_parameters() if name != "ids"], lr=0.01)
    before = zero()
    before.sum().backward()
    optimizer.step()
    moved = (zero() - before)[3:].abs().mean()
    assert 0.3 * 0.01 < moved < 5 * 0.01
