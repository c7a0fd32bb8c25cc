"""A T5 and its tokenizer that are read from a folder."""

import json
import shutil

import numpy as np
import pytest
import torch
from generative_world import names, ring, settings, vectors

from featurestore.errors import SetupError, StoreError, UsageError
from recommender.generative.model import GenerativeModel
from recommender.generative.saved import SavedGenerative, load_generative, save_generative
from recommender.generative.writer import new_writer
from recommender.saved import bind

SHAPE = {"vocab_size": 300, "d_model": 12, "d_kv": 4, "d_ff": 20, "num_layers": 2, "num_heads": 3}


def t5_config():
    from transformers import T5Config

    return T5Config(**SHAPE, decoder_start_token_id=0)


def save_tokenizer(place):
    """One that knows letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    known = {"<pad>": 0, "</s>": 1, "<unk>": 2}
    letters = {letter: 3 + n for n, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=known | letters, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(place)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two blocks of random weights, and a tokenizer."""
    from transformers import T5ForConditionalGeneration

    place = tmp_path_factory.mktemp("t5")
    save_tokenizer(place)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        T5ForConditionalGeneration(t5_config()).save_pretrained(place)
    return place


def new(**changed):
    data = ring()
    return new_writer(settings(**changed), names(data), data.num_users, 0)


def fitted(place, data, **changed) -> GenerativeModel:
    model = GenerativeModel(settings(weights=place, epochs=2, **changed), names(data))
    model.fit(data, features=vectors(data), seed=0)
    return model


def test_a_folder_gives_weights_words_and_size(folder):
    from transformers import T5ForConditionalGeneration

    writer, vocabulary = new(weights=folder)
    stored = T5ForConditionalGeneration.from_pretrained(folder)
    assert writer.width == 12
    assert writer.t5.config.vocab_size == vocabulary.size > 300
    assert torch.equal(writer.t5.shared.weight[:300], stored.shared.weight)
    query = writer.t5.encoder.block[0].layer[0].SelfAttention.q.weight
    assert torch.equal(query, stored.encoder.block[0].layer[0].SelfAttention.q.weight)
    assert vocabulary.item_tokens.min() == 300
    before, between = vocabulary.words.templates["sequential"]
    assert len(before) == len("what comes next ? user")
    assert max(before + between) < 300


@pytest.mark.parametrize("has_weights", [True, False])
def test_dropout_is_that_of_the_settings_in_every_layer(folder, has_weights):
    writer, _ = new(dropout=0.3, **({"weights": folder} if has_weights else {}))
    shares = [layer.p for layer in writer.t5.modules() if isinstance(layer, torch.nn.Dropout)]
    attention = [each.dropout for each in writer.t5.modules() if type(each).__name__ == "T5Attention"]
    assert len(attention) == (6 if has_weights else 3)
    assert len(shares) > len(attention)
    assert set(shares) | set(attention) == {0.3}


def test_weights_of_half_precision_are_read_as_float32(folder, tmp_path):
    from transformers import T5ForConditionalGeneration

    half = tmp_path / "half"
    shutil.copytree(folder, half)
    T5ForConditionalGeneration.from_pretrained(folder).to(torch.bfloat16).save_pretrained(half)
    writer, _ = new(weights=half)
    assert {weight.dtype for weight in writer.parameters()} == {torch.float32}


def test_a_model_that_began_with_it_is_loaded_without_its_folder(folder, toy, tmp_path):
    data, release, place = ring(), toy.release(), tmp_path / "t5"
    shutil.copytree(folder, place)
    model = fitted(place, data, dropout=0.2)
    info = SavedGenerative(config=model.config, seed=0, binding=bind(release, None), fit={})
    save_generative(tmp_path / "model", model, info)
    shutil.rmtree(place)
    loaded, _ = load_generative(tmp_path / "model", release)
    asked = np.arange(data.num_users), data.histories, data.valid.seen, 5
    for mine, theirs in zip(model.lists(*asked), loaded.lists(*asked), strict=True):
        assert np.array_equal(mine, theirs)
    assert loaded.digest == model.digest
    assert loaded.pretrained == model.pretrained
    path = tmp_path / "model" / "config.json"
    assert str(place) not in json.dumps(json.loads(path.read_text())["pretrained"])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pretrained": None}))
    with pytest.raises(
        StoreError, match="nothing of its configuration and words was saved with it"
    ) as caught:
        load_generative(tmp_path / "model", release)
    assert caught.value.hint == "Train the model again."


def test_a_folder_without_t5_is_named(tmp_path):
    with pytest.raises(SetupError, match=f"no T5 and tokenizer can be read from '{tmp_path}'"):
        new(weights=tmp_path)


def test_another_kind_of_model_is_refused(tmp_path):
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 12, "num_attention_heads": 3, "num_hidden_layers": 1, "intermediate_size": 8}
    BertModel(BertConfig(**sizes, vocab_size=30)).save_pretrained(tmp_path)
    with pytest.raises(SetupError, match=r"config\.json says model_type 'bert', not 't5'"):
        new(weights=tmp_path)


def test_an_encoder_alone_is_refused_and_what_is_missing_is_named(tmp_path):
    from transformers import T5EncoderModel

    save_tokenizer(tmp_path)
    T5EncoderModel(t5_config()).save_pretrained(tmp_path)
    missing = r"weights are missing: 2\d of decoder, such as decoder\.block\.0\.layer\.0\."
    with pytest.raises(SetupError, match=missing) as caught:
        new(weights=tmp_path)
    assert "all weights (decoder included)" in caught.value.hint


def test_sizes_beside_weights_are_refused(folder):
    for name, value in {"embedding_dim": 64, "num_blocks": 3, "num_heads": 2, "hidden_dim": 100}.items():
        with pytest.raises(UsageError, match=f"{name}={value} has no effect with weights={folder}"):
            settings(weights=folder, **{name: value})
    assert settings(weights=folder, embedding_dim=128, num_blocks=2).weights == str(folder)
