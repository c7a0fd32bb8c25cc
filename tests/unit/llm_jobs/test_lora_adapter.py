"""An adapter of a sentence encoder is added to its weights, and refused by a model it was not made for."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_models import write_tiny_easyrec

from llm_jobs.encoder import TextEncoder
from llm_jobs.encoders import open_encoder
from llm_jobs.models import find_encoder

pytestmark = pytest.mark.real_encoder

_VALUE = "encoder.layer.1.attention.self.value"


def _encoder(folder: Path, **keys: object) -> TextEncoder:
    ours = {"embedding_dim": 32, "max_tokens": 64, "pooling": "mean", **keys}
    alias = "easyrec-roberta-small"
    return open_encoder(find_encoder(alias, {alias: ours}, folder=folder))


def test_an_adapter_is_added_to_the_weights(tmp_path: Path, rng: np.random.Generator) -> None:
    pytest.importorskip("peft")
    folder, adapter = write_tiny_easyrec(tmp_path / "model"), tmp_path / "adapter"
    first = rng.normal(size=(4, 32)).astype(np.float32)
    second = rng.normal(size=(32, 4)).astype(np.float32)
    adapter.mkdir()
    name = f"base_model.model.{_VALUE}"
    save_file(
        {f"{name}.lora_A.weight": first, f"{name}.lora_B.weight": second},
        adapter / "adapter_model.safetensors",
    )
    stated = {"peft_type": "LORA", "r": 4, "lora_alpha": 2, "target_modules": [_VALUE], "bias": "none"}
    (adapter / "adapter_config.json").write_text(json.dumps(stated))
    weights = load_file(folder / "model.safetensors")
    weights[f"roberta.{_VALUE}.weight"] += 0.5 * second @ first
    changed = Path(shutil.copytree(folder, tmp_path / "changed"))
    save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
    adapted = _encoder(folder, adapter=str(adapter))
    vectors = adapted.encode(["rose cream", "drum"])
    np.testing.assert_allclose(vectors, _encoder(changed).encode(["rose cream", "drum"]), atol=1e-5)
    assert not np.allclose(vectors, _encoder(folder).encode(["rose cream", "drum"]), atol=1e-2)
    assert adapted.spec.adapter is not None
