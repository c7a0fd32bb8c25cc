"""A LoRA adapter on the real small model in vLLM: it is loaded, asked, and changes what is said."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from featurestore.spec import Sampling
from llm_jobs.engine import Completion, Message, Request
from llm_jobs.engines import EngineOptions
from llm_jobs.models import find_model, model_spec
from llm_jobs.weights import locate_model

pytestmark = [pytest.mark.real_llm, pytest.mark.slow]

_RANK = 4


def _write_adapter(folder: Path, weights: Path) -> Path:
    """A random adapter of rank 4 on the query projections, as peft saves it."""
    import torch
    from safetensors.torch import save_file

    config = json.loads((weights / "config.json").read_text())
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    generator = torch.Generator().manual_seed(11)
    tensors: dict[str, torch.Tensor] = {}
    for layer in range(layers):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        tensors[f"{name}.lora_A.weight"] = torch.randn(_RANK, hidden, generator=generator)
        tensors[f"{name}.lora_B.weight"] = torch.randn(hidden, _RANK, generator=generator)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    stated = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": _RANK,
        "lora_alpha": 2 * _RANK,
        "target_modules": ["q_proj"],
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(stated))
    return folder


def test_an_adapter_changes_the_answers_and_the_model(tmp_path: Path) -> None:
    from llm_jobs.engines.vllm_offline import VllmEngine

    base = find_model("smollm2-135m", {})
    adapter = _write_adapter(tmp_path / "adapter", locate_model(base))
    entry = find_model("smollm2-135m", {"smollm2-135m": {"adapter": str(adapter)}})
    assert model_spec(entry).adapter is not None
    assert model_spec(entry).model_copy(update={"adapter": None}) == model_spec(base)
    with closing(VllmEngine(entry, EngineOptions(max_model_len=512, max_num_seqs=4))) as engine:

        def ask(key: str) -> Completion:
            messages = (Message("user", "Which colour has a ripe tomato?"),)
            engine.submit([Request(key, messages, Sampling(max_tokens=24))])
            (done,) = engine.poll(120.0)
            assert done.failure is None, done.detail
            return done

        adapted = ask("adapted")
        engine._lora = None  # the same engine without its adapter
        plain = ask("plain")
    assert adapted.text
    assert adapted.text != plain.text
    assert "red" in (plain.text or "").lower()
