"""What every text encoder promises. An encoder is one entry of ``_ENCODERS``."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tiny_decoder import HIDDEN_SIZE, write_tiny_decoder
from tiny_models import write_tiny_easyrec

from llm_jobs.encoder import TextEncoder
from llm_jobs.encoders import open_encoder
from llm_jobs.models import find_encoder

_TEXTS = [
    "A rose hand cream for dry skin.",
    "Loud toy drum",
    "!!!",
    "Öl für Bärte, 50 ml 🌿",
    "A gentle night cream for very dry skin, with rose oil and shea butter. " * 40,
    "x",
]


def _hashing(_: Path) -> TextEncoder:
    return open_encoder(find_encoder("hashing", {}))


def _minilm(_: Path) -> TextEncoder:
    return open_encoder(find_encoder("minilm", {}))


def _easyrec(folder: Path) -> TextEncoder:
    project = {"easyrec-roberta-large": {"embedding_dim": 32, "max_tokens": 64}}
    return open_encoder(find_encoder("easyrec-roberta-large", project, folder=write_tiny_easyrec(folder)))


def _decoder(folder: Path) -> TextEncoder:
    ours = {"embedding_dim": HIDDEN_SIZE, "max_tokens": 64, "pooling_token": "<|pool|>", "normalize": True}
    entry = find_encoder("smollm2-hidden", {"smollm2-hidden": ours}, folder=write_tiny_decoder(folder))
    return open_encoder(entry)


def _smollm2(_: Path) -> TextEncoder:
    return open_encoder(find_encoder("smollm2-hidden", {"smollm2-hidden": {"normalize": True}}))


def _vllm(_: Path) -> TextEncoder:
    ours = {"encoder": "vllm_pooling", "normalize": True}
    return open_encoder(find_encoder("smollm2-hidden", {"smollm2-hidden": ours}))


_ENCODERS = [
    pytest.param(_hashing, id="hashing"),
    pytest.param(_minilm, id="minilm", marks=pytest.mark.real_encoder),
    pytest.param(_easyrec, id="easyrec", marks=pytest.mark.real_encoder),
    pytest.param(_decoder, id="decoder", marks=pytest.mark.real_encoder),
    pytest.param(_smollm2, id="smollm2", marks=[pytest.mark.real_llm, pytest.mark.slow]),
    pytest.param(_vllm, id="vllm", marks=[pytest.mark.real_llm, pytest.mark.slow]),
]


@pytest.fixture(scope="module", params=_ENCODERS)
def encoder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TextEncoder]:
    start: Callable[[Path], TextEncoder] = request.param
    with closing(start(tmp_path_factory.mktemp("encoder"))) as opened:
        yield opened


def test_vectors_have_the_shape_and_length_the_spec_says(encoder: TextEncoder) -> None:
    vectors = encoder.encode(_TEXTS)
    assert vectors.shape == (len(_TEXTS), encoder.spec.embedding_dim)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert encoder.spec.normalized
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_a_batch_equals_its_texts_one_by_one(encoder: TextEncoder) -> None:
    single = np.concatenate([encoder.encode([text]) for text in _TEXTS])
    np.testing.assert_allclose(encoder.encode(_TEXTS), single, atol=1e-5)


def test_order_follows_the_texts(encoder: TextEncoder) -> None:
    forth, back = encoder.encode(_TEXTS), encoder.encode(_TEXTS[::-1])
    np.testing.assert_allclose(forth, back[::-1], atol=1e-5)


def test_equal_texts_get_equal_vectors_and_others_do_not(encoder: TextEncoder) -> None:
    one, same, other = encoder.encode([_TEXTS[0], _TEXTS[0], _TEXTS[1]])
    np.testing.assert_allclose(one, same, atol=1e-6)
    assert not np.allclose(one, other, atol=1e-3)


def test_text_beyond_the_limit_is_not_read(encoder: TextEncoder) -> None:
    long = "word " * (encoder.spec.max_tokens + 10)
    np.testing.assert_allclose(*encoder.encode([long, long + "and a different end"]), atol=1e-5)


def test_no_texts_give_no_rows(encoder: TextEncoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.spec.embedding_dim)


def test_closing_twice_is_fine() -> None:
    encoder = open_encoder(find_encoder("hashing", {}))
    encoder.close()
    encoder.close()
