"""LGHRec's semantic-ID texts as a language model's own hidden states, and as codes of these."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from chains_world import Teacher
from generation_world import PROMPTS, put_events, put_items
from tiny_decoder import HIDDEN_SIZE, write_tiny_decoder

from cli.main import run
from featurestore.reader import open_store
from featurestore.store import Store
from featurestore.stores import connect
from llm_jobs.engines import OpenModel
from llm_jobs.generate import generate
from llm_jobs.models import find_model, model_spec
from llm_jobs.prompt import load_prompt

pytest.importorskip("transformers")

_CONFIG = """
[encoders.tiny]
encoder = "hidden_state"
model = "tiny/decoder"
folder = "decoder"
pooling = "last_token"
pooling_token = "<|pool|>"
normalize = false
embedding_dim = 32
max_tokens = 96
[semantic_ids]
num_levels = 3
codebook_size = 8
"""
_KINDS = ("drum", "kettle", "lamp", "rose")


def _analyse(question: str) -> str:
    found = re.search(r"title: (\w+) (\d+)", question)
    assert found is not None
    step = {"quote": f"{found[1]} {found[2]}", "characteristic": f"It is a {found[1]}."}
    return json.dumps({"CoT": [step], "keywords": [f"{found[1]} {found[2]}"]})


def _fill(store: Store, folder: Path) -> None:
    put_items(store, {f"i{n:02d}": {"title": f"{_KINDS[n % 4]} {n}"} for n in range(12)})
    put_events(store, [("u1", "i00", 1), ("u1", "i01", 2), ("u1", "i02", 3)])
    entry = find_model("echo", {})
    model = OpenModel(entry, model_spec(entry), Teacher(_analyse))
    generate(store, load_prompt(PROMPTS / "item_semantic_id.toml"), model, work_folder=folder)


def test_hidden_states_are_semantic_ids_like_any_vector(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    write_tiny_decoder(tmp_path / "decoder")
    (tmp_path / "featurestore.toml").write_text(_CONFIG)
    _fill(connect(str(tmp_path / "store")), tmp_path / ".featurestore")
    command = ["embed", "-C", str(tmp_path), "-f", "item_semantic_id", "--encoder", "tiny", "--json"]
    assert run(command) == 0
    (view,) = json.loads(capsys.readouterr().out)["views"]
    assert (view["num_texts"], view["num_encoded"]) == (12, 12)
    assert run(["semantic-ids", "-C", str(tmp_path), "-f", "item_semantic_id", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_coded"] == 12
    assert run(["publish", "-C", str(tmp_path)]) == 0

    release = open_store(str(tmp_path / "store")).release("production")
    dense, codes = release.embeddings("item_semantic_id"), release.semantic_ids("item_semantic_id")
    assert dense.matrix.shape == (12, HIDDEN_SIZE)
    assert (dense.encoder.pooling, dense.encoder.pooling_token) == ("last_token", "<|pool|>")
    assert codes.ids == dense.ids

    text = release.texts("item_semantic_id", ids=["i05"])["text"][0]
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path / "decoder"))
    ids = [*tokenizer(text)["input_ids"], tokenizer.convert_tokens_to_ids("<|pool|>")]
    model = AutoModelForCausalLM.from_pretrained(str(tmp_path / "decoder")).eval()
    with torch.no_grad():
        states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1]
    np.testing.assert_allclose(dense.matrix[dense.ids.index("i05")], states[0, -1].numpy(), atol=1e-5)
