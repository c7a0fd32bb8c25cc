"""A T5 and its tokenizer that are read from a folder."""

import numpy as np
import pytest
import torch
from generative_world import names, ring, settings, vectors

from featurestore.errors import SetupError
from recommender.generative.model import GenerativeModel
from recommender.generative.writer import new_writer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two blocks of random weights, and a tokenizer that knows letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    place = tmp_path_factory.mktemp("t5")
    known = {"<pad>": 0, "</s>": 1, "<unk>": 2}
    letters = {letter: 3 + n for n, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=known | letters, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(place)
    config = T5Config(
        vocab_size=300, d_model=12, d_kv=4, d_ff=20, num_layers=2, num_heads=3, decoder_start_token_id=0
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        T5ForConditionalGeneration(config).save_pretrained(place)
    return place


def test_a_folder_gives_weights_words_and_size(folder):
    from transformers import T5ForConditionalGeneration

    data = ring()
    writer, vocabulary = new_writer(settings(weights=folder, dropout=0.3), names(data), data.num_users, 0)
    stored = T5ForConditionalGeneration.from_pretrained(folder)
    assert writer.width == 12
    assert writer.t5.config.vocab_size == vocabulary.size > 300
    assert torch.equal(writer.t5.shared.weight[:300], stored.shared.weight)
    query = writer.t5.encoder.block[0].layer[0].SelfAttention.q.weight
    assert torch.equal(query, stored.encoder.block[0].layer[0].SelfAttention.q.weight)
    assert vocabulary.item_tokens.min() == 300
    before, between = vocabulary.templates["sequential"]
    assert len(before) == len("what comes next ? user")
    assert max(before + between) < 300


def test_a_model_begins_with_it_and_is_saved_with_what_it_learned(folder):
    data = ring()
    model = GenerativeModel(settings(weights=folder, epochs=2), names(data))
    model.fit(data, features=vectors(data), seed=0)
    copy = GenerativeModel(model.config, names(data))
    copy.load_arrays(model.arrays())
    asked = np.arange(data.num_users), data.histories, data.valid.seen, 5
    for mine, theirs in zip(model.lists(*asked), copy.lists(*asked), strict=True):
        assert np.array_equal(mine, theirs)


def test_a_folder_without_t5_is_named(tmp_path):
    with pytest.raises(SetupError, match=f"no T5 and tokenizer can be read from '{tmp_path}'"):
        new_writer(settings(weights=tmp_path), names(ring()), 12, 0)
