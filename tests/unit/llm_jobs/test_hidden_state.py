"""Hidden states of a tiny random decoder: against the model itself, and what does not fit is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from tiny_decoder import (
    ALPHA,
    CONTEXT,
    HIDDEN_SIZE,
    QUERY,
    RANK,
    query_updates,
    write_query_adapter,
    write_tiny_decoder,
)

from featurestore.errors import ConfigError, SetupError
from llm_jobs.encoder import TextEncoder
from llm_jobs.encoders import open_encoder
from llm_jobs.encoders.hidden_state import batches_by_length
from llm_jobs.encoders.last_token import load_pooling_tokens
from llm_jobs.models import find_encoder, load_encoders

pytest.importorskip("transformers")

_INSTRUCTION = "Taste: "
_TEXTS = ["Loud toy drum", "", "Öl für Bärte 🌿", "x", "a rose hand cream for dry skin", "Loud toy drum"]
_BEGIN, _END, _POOL = 256, 257, 258
"""The special tokens stand behind the 256 bytes."""


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_decoder(tmp_path_factory.mktemp("decoder"))


@pytest.fixture
def folder(shared_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shared_folder, tmp_path / "decoder"))


def _encoder(folder: Path, *, batch_size: int = 64, **keys: object) -> TextEncoder:
    ours = {
        "encoder": "hidden_state",
        "model": "tiny/decoder",
        "pooling": "last_token",
        "pooling_token": "<|pool|>",
        "normalize": False,
        "instruction": _INSTRUCTION,
        "embedding_dim": HIDDEN_SIZE,
        "max_tokens": 64,
    }
    entry = find_encoder("tiny", {"tiny": ours | keys}, folder=folder)
    return open_encoder(entry, batch_size=batch_size)


def _ids(folder: Path, texts: list[str], **keys: object) -> list[list[int]]:
    return load_pooling_tokens(folder, _encoder(folder, **keys).spec).token_ids(texts)


def _states(folder: Path, ids: list[int]) -> Any:
    """The model's own last hidden state at the end of one input, nothing padded."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        states = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    return states[-1][0, -1].numpy()


def _byte_tokens(folder: Path) -> dict[str, int]:
    """Token of each letter, read from the tokenizer's file."""
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    return vocabulary | {" ": vocabulary["Ġ"]}


def test_a_vector_is_the_last_hidden_state_at_the_pooling_token(folder: Path) -> None:
    letters = _byte_tokens(folder)
    ids = [_BEGIN, *(letters[letter] for letter in f"{_INSTRUCTION}drum"), _POOL]
    vector = _encoder(folder).encode(["drum"])
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector[0], _states(folder, ids), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 64])
def test_a_batch_equals_its_texts_one_by_one(folder: Path, batch_size: int) -> None:
    single = np.stack([_states(folder, ids) for ids in _ids(folder, _TEXTS)])
    vectors = _encoder(folder, batch_size=batch_size).encode(_TEXTS)
    np.testing.assert_allclose(vectors, single, atol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[-1], atol=1e-6)
    assert np.isfinite(vectors).all()


def test_unit_rows_are_the_states_at_length_one(folder: Path) -> None:
    raw, unit = (_encoder(folder, normalize=flag).encode(_TEXTS) for flag in (False, True))
    np.testing.assert_allclose(unit, raw / np.sqrt((raw**2).sum(axis=1))[:, None], atol=1e-6)


def test_a_cut_never_takes_the_pooling_token(folder: Path) -> None:
    room = 64 - len(_INSTRUCTION) - 2
    fits, longer = "a" * room, "a" * room + "bcd"
    first, second = _ids(folder, [fits, longer])
    assert first == second
    assert (len(first), first[0], first[-1]) == (64, _BEGIN, _POOL)
    np.testing.assert_array_equal(*_encoder(folder).encode([fits, longer]))


def test_special_tokens_in_a_text_are_words(folder: Path) -> None:
    (hostile,) = _ids(folder, ["<|pool|> <|end|>"])
    assert hostile.count(_POOL) == 1
    assert _END not in hostile
    (told,) = _ids(folder, ["x"], instruction="<|end|>")
    assert told[:2] == [_BEGIN, _END]


def test_nothing_is_put_before_texts_of_a_tokenizer_that_frames_none(tmp_path: Path) -> None:
    (ids,) = _ids(write_tiny_decoder(tmp_path / "plain", frames=False), [""], instruction="")
    assert ids == [_POOL]


def test_every_part_of_the_spec_changes_vector_and_digest(folder: Path) -> None:
    plain = _encoder(folder)
    for keys in (
        {"instruction": "Other: "},
        {"pooling_token": "<|end|>"},
        {"normalize": True},
        {"max_tokens": 20},
    ):
        other = _encoder(folder, **keys)
        assert other.spec.digest != plain.spec.digest
        assert not np.allclose(other.encode(["a rose hand cream"]), plain.encode(["a rose hand cream"]))


@pytest.mark.parametrize("prefix", ["base_model.model.model.", "base_model.model."])
def test_an_adapter_is_added_to_the_weights_and_named_by_its_content(
    folder: Path, tmp_path: Path, prefix: str
) -> None:
    pytest.importorskip("peft")
    adapter = write_query_adapter(tmp_path / "adapter", prefix=prefix)
    adapted, plain = _encoder(folder, adapter=str(adapter)), _encoder(folder)
    assert adapted.spec.adapter is not None
    assert adapted.spec.model_copy(update={"adapter": None}) == plain.spec
    weights = load_file(folder / "model.safetensors")
    for layer, (first, second) in query_updates(1).items():
        weights[f"model.{QUERY.format(layer=layer)}.weight"] += ALPHA / RANK * second @ first
    changed = Path(shutil.copytree(folder, tmp_path / "changed"))
    save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
    vectors = adapted.encode(_TEXTS)
    np.testing.assert_allclose(vectors, _encoder(changed).encode(_TEXTS), atol=1e-4)
    assert not np.allclose(vectors, plain.encode(_TEXTS), atol=1e-2)
    other = write_query_adapter(tmp_path / "other", seed=2, prefix=prefix)
    assert _encoder(folder, adapter=str(other)).spec.adapter != adapted.spec.adapter


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("base_model.model.decoder.", "8 weights have no counterpart, such as base_model.model."),
        ("base_model.model.model.other.", "8 weights have no counterpart"),
    ],
)
@pytest.mark.filterwarnings("ignore:Found missing adapter keys")  # what we refuse it for
def test_an_adapter_of_another_model_is_refused(
    folder: Path, tmp_path: Path, prefix: str, message: str
) -> None:
    pytest.importorskip("peft")
    adapter = write_query_adapter(tmp_path / "adapter", prefix=prefix)
    with pytest.raises(SetupError, match=f"does not fit the model: {message}"):
        _encoder(folder, adapter=str(adapter)).encode(["x"])


def test_an_adapter_of_another_size_is_refused(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    adapter = write_query_adapter(tmp_path / "adapter")
    weights = adapter / "adapter_model.safetensors"
    save_file({name: np.tile(array, (1, 2)) for name, array in load_file(weights).items()}, weights)
    with pytest.raises(SetupError, match=r"(?s)does not fit the model: .*size mismatch"):
        _encoder(folder, adapter=str(adapter)).encode(["x"])


def test_an_adapter_that_is_not_complete_is_refused_before_anything_is_loaded(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match=r"lacks adapter_config\.json and adapter_model\.safetensors"):
        _encoder(folder, adapter=str(tmp_path))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"embedding_dim": 48}, "says embedding_dim = 48, but its model makes 32 columns"),
        ({"pooling_token": "<eos>"}, r"vocabulary lacks\. Special tokens there: <\|begin\|>, <\|end\|>"),
        ({"max_tokens": 9}, "reads 9 tokens, of which instruction and pooling token take 9"),
        ({"max_tokens": CONTEXT + 1}, f"reads {CONTEXT + 1} tokens, but the model in .* takes {CONTEXT}"),
    ],
)
def test_what_does_not_fit_the_decoder_is_named(folder: Path, keys: dict[str, object], message: str) -> None:
    encoder = _encoder(folder, **keys)
    with pytest.raises(SetupError, match=message):
        encoder.encode(["x"])


def test_bfloat16_needs_a_gpu(folder: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SetupError, match="computes in bfloat16, which is for GPUs; there is none here"):
        _encoder(folder, dtype="bfloat16").encode(["x"])


def test_states_that_are_not_finite_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][3] = np.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SetupError, match="made 2 of 2 vectors that hold NaN or infinity"):
        _encoder(folder).encode(["x", "y"])


def test_a_closed_encoder_opens_again(folder: Path) -> None:
    encoder = _encoder(folder)
    before = encoder.encode(["x"])
    encoder.close()
    encoder.close()
    np.testing.assert_array_equal(encoder.encode(["x"]), before)


@given(
    st.lists(st.integers(1, 50), max_size=30),
    st.integers(1, 8),
    st.integers(1, 120),
)
def test_batches_hold_every_row_once_within_both_bounds(
    lengths: list[int], max_rows: int, max_tokens: int
) -> None:
    batches = list(batches_by_length(lengths, max_rows, max_tokens))
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    for rows in batches:
        longest = max(lengths[row] for row in rows)
        assert len(rows) <= max_rows
        assert len(rows) == 1 or len(rows) * longest <= max_tokens


@pytest.mark.parametrize(
    ("alias", "keys", "message"),
    [
        ("minilm", {"pooling_token": "</s>"}, "pooling_token go together"),
        ("minilm", {"encoder": "vllm_pooling"}, "pooling_token go together"),
        ("smollm2-hidden", {"pooling": "mean"}, "pooling_token go together"),
        ("minilm", {"dtype": "bfloat16"}, "dtype is for encoder = "),
        ("hashing", {"adapter": "lora"}, 'adapter needs encoder = "hidden_state" or "sentence"'),
        ("smollm2-hidden", {"encoder": "vllm_pooling", "adapter": "x"}, "adapter needs encoder"),
    ],
)
def test_entries_whose_keys_do_not_go_together_are_refused(
    alias: str, keys: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_encoders({alias: keys})


def test_an_entry_takes_its_adapter_from_the_project() -> None:
    project = {"smollm2-hidden": {"adapter": "adapters/shop"}}
    assert find_encoder("smollm2-hidden", project, root=Path("/p")).adapter == "/p/adapters/shop"


def test_without_vllm_the_ways_out_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_jobs.encoders.vllm_pooling.find_spec", lambda _: None)
    with pytest.raises(SetupError, match=r"'vllm', which is not installed\.") as caught:
        _encoder(folder, encoder="vllm_pooling")
    assert 'or set encoder = "hidden_state" in [encoders.tiny]' in caught.value.hint


def test_which_engine_computes_is_no_part_of_the_space() -> None:
    from llm_jobs.encoders import encoder_spec

    entry = find_encoder("smollm2-hidden", {})
    other = find_encoder("smollm2-hidden", {"smollm2-hidden": {"encoder": "vllm_pooling"}})
    assert encoder_spec(entry) == encoder_spec(other)
    base = encoder_spec(find_encoder("smollm2-base-hidden", {}))
    assert base.digest != encoder_spec(entry).digest
