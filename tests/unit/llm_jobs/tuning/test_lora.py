"""Adapters by peft: what they touch, what they leave alone, and that others read what we write."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tuning_world import word_texts

from featurestore.errors import SetupError, StoreError, UnknownNameError, UsageError
from llm_jobs.encoders import encoder_spec
from llm_jobs.encoders.hidden_state import HiddenStateEncoder
from llm_jobs.encoders.sentence_encoder import SentenceEncoder
from llm_jobs.tuning.base_model import TextVectors, encode, load_base
from llm_jobs.tuning.config import TuningConfig
from llm_jobs.tuning.lora import adapter_files, attach_adapter, attach_stored

CONFIG = TuningConfig(lora_rank=3, lora_alpha=6)
TEXTS = word_texts(7)[0]


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """An adapter whose B is not zero any more."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if ".lora_B." in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    return network


def adapted(base, config=CONFIG) -> TextVectors:
    return TextVectors(randomised(attach_adapter(base.network, config, seed=1)), base.spec.pooling)


def test_a_new_adapter_changes_nothing_and_batches_change_nothing(entry):
    base = load_base(entry, CONFIG)
    model = TextVectors(attach_adapter(base.network, CONFIG, seed=1), base.spec.pooling)
    inputs = base.token_ids(TEXTS)
    found = encode(model, inputs, batch_size=3)
    alone = np.concatenate([encode(model, [each], batch_size=1) for each in inputs])
    np.testing.assert_allclose(found, alone, atol=1e-5)
    spec = encoder_spec(entry.model_copy(update={"normalize": False}))
    theirs = HiddenStateEncoder if entry.pooling == "last_token" else SentenceEncoder
    np.testing.assert_allclose(found, theirs(Path(entry.folder), spec).encode(TEXTS), atol=1e-5)


def test_first_tokens_are_pooled_where_the_entry_says_so(encoder):
    entry = encoder.model_copy(update={"pooling": "cls", "normalize": False})
    base = load_base(entry, CONFIG)
    model = TextVectors(attach_adapter(base.network, CONFIG, seed=1), base.spec.pooling)
    expected = SentenceEncoder(Path(entry.folder), encoder_spec(entry)).encode(TEXTS)
    np.testing.assert_allclose(encode(model, base.token_ids(TEXTS), batch_size=4), expected, atol=1e-5)


def targets_of(network: torch.nn.Module) -> set[str]:
    return {
        n.partition(".lora_A.")[0].partition(".model.")[2]
        for n, _ in network.named_parameters()
        if "lora_A" in n
    }


def test_all_linear_maps_of_the_blocks_are_adapted_and_nothing_else(encoder, decoder):
    maps = [f"self_attn.{name}_proj" for name in "qkvo"] + [
        f"mlp.{name}_proj" for name in ("gate", "up", "down")
    ]
    network = attach_adapter(load_base(decoder, CONFIG).network, CONFIG, seed=1)
    assert targets_of(network) == {f"model.layers.{layer}.{name}" for layer in range(2) for name in maps}

    maps = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
    maps += ["intermediate.dense", "output.dense"]
    network = attach_adapter(load_base(encoder, CONFIG).network, CONFIG, seed=1)
    assert targets_of(network) == {f"encoder.layer.{layer}.{name}" for layer in range(2) for name in maps}


def test_named_maps_are_adapted_and_unknown_ones_refused_with_the_known_ones(decoder):
    base = load_base(decoder, CONFIG)
    with pytest.raises(UnknownNameError) as error:
        attach_adapter(base.network, CONFIG.model_copy(update={"target_modules": "q_proj,v_porj"}), seed=1)
    assert "unknown target module 'v_porj'. Did you mean 'v_proj'?" in str(error.value)
    assert "all-linear, down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in str(error.value)
    chosen = CONFIG.model_copy(update={"target_modules": "q_proj, v_proj"})
    network = attach_adapter(base.network, chosen, seed=1)
    assert {name.rpartition(".")[2] for name in targets_of(network)} == {"q_proj", "v_proj"}


def test_a_model_without_linear_maps_in_its_blocks_is_refused():
    """GPT-2 has maps of its own kind there."""
    from transformers import GPT2Config, GPT2LMHeadModel

    network = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=32, n_positions=16))
    with pytest.raises(UsageError, match="GPT2LMHeadModel has no linear maps in its blocks"):
        attach_adapter(network, CONFIG, seed=1)


def test_an_adapter_comes_back_from_its_files(entry):
    base = load_base(entry, CONFIG)
    model = adapted(base)
    expected = encode(model, base.token_ids(TEXTS), batch_size=4)
    files = adapter_files(model.network)
    assert files == adapter_files(model.network)
    assert str(Path(entry.folder).parent).encode() not in files["adapter_config.json"]
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] is None
    fresh = load_base(entry, CONFIG)
    plain = encode(adapted_without(fresh), fresh.token_ids(TEXTS), batch_size=4)
    assert np.abs(plain - expected).max() > 0.01
    stored = TextVectors(attach_stored(load_base(entry, CONFIG).network, files), base.spec.pooling)
    np.testing.assert_allclose(encode(stored, base.token_ids(TEXTS), batch_size=4), expected, atol=1e-6)


def adapted_without(base) -> TextVectors:
    return TextVectors(attach_adapter(base.network, CONFIG, seed=1), base.spec.pooling)


def test_encoders_of_decoders_and_peft_itself_read_an_adapter_of_ours(tmp_path, decoder):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = load_base(decoder, CONFIG)
    model = adapted(base)
    expected = encode(model, base.token_ids(TEXTS), batch_size=4)
    folder = tmp_path / "adapter"
    folder.mkdir()
    for name, content in adapter_files(model.network).items():
        (folder / name).write_bytes(content)
    encoder = HiddenStateEncoder(Path(decoder.folder), encoder_spec(decoder), adapter=folder)
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-4)
    network = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(decoder.folder), str(folder))
    theirs = encode(TextVectors(network.eval(), "last_token"), base.token_ids(TEXTS), batch_size=4)
    np.testing.assert_allclose(theirs, expected, atol=1e-5)


def test_an_adapter_of_another_model_is_refused(encoder, decoder):
    files = adapter_files(adapted(load_base(decoder, CONFIG)).network)
    with pytest.raises(StoreError, match="the adapter does not fit the base model"):
        attach_stored(load_base(encoder, CONFIG).network, files)


def test_what_cannot_be_tuned_says_why(encoder, monkeypatch):
    with pytest.raises(UsageError, match="pools by 'hashing', which cannot be tuned"):
        load_base(encoder.model_copy(update={"pooling": "hashing"}), CONFIG)
    with pytest.raises(UsageError, match=r"has an adapter already \(/some/where\)"):
        load_base(encoder.model_copy(update={"adapter": "/some/where"}), CONFIG)
    base = load_base(encoder, CONFIG)
    monkeypatch.setattr("llm_jobs.tuning.lora.find_spec", lambda _: None)
    with pytest.raises(SetupError, match="needs the Python package 'peft'") as error:
        attach_adapter(base.network, CONFIG, seed=1)
    assert "pip install 'cot-featurestore[encode]'" in error.value.hint


def test_texts_are_cut_where_the_settings_say(encoder, decoder):
    short = CONFIG.model_copy(update={"max_tokens": 10})
    base = load_base(decoder, short)
    assert base.spec.max_tokens == 10
    (ids,) = base.token_ids(["a text that is much longer than that"])
    assert len(ids) == 10
    assert ids[-1] == load_base(decoder, CONFIG).token_ids(["x"])[0][-1]
    (ids,) = load_base(encoder, short).token_ids(["a b c d e f g h i j k l"])
    assert len(ids) == 10
