"""A store with answers of a rule that plays the teacher, and a tiny chat model: for tuning on chains."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from generation_world import put_events, put_items

from featurestore.gates.policy import GatePolicy
from featurestore.reader import FeatureStore, Release
from featurestore.releases.publish import publish
from featurestore.store import Store
from llm_jobs.engine import Completion, EngineInfo, Request
from llm_jobs.engines import OpenModel
from llm_jobs.entries import ModelEntry
from llm_jobs.generate import GenerateOptions, generate
from llm_jobs.models import find_model, model_spec
from llm_jobs.prompt import Prompt, load_prompt
from llm_jobs.tuning.chains_config import ChainsConfig
from llm_jobs.tuning.general_set import Instruction

CONTEXT = 1024
KINDS = ("drum", "kettle", "lamp", "rose")
QUICK = ChainsConfig(
    lora_rank=4,
    learning_rate=1e-2,
    epochs=2,
    batch_size=4,
    accumulation=2,
    checkpoint_steps=2,
    held_out_share=0.25,
    judged_answers=3,
    lora_dropout=0.1,
)
INSTRUCTIONS = tuple(Instruction(f"Say {n}.", f"Here is {n}.") for n in range(24))
_TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
_PROMPT = """
entity = "item"
description = "What an item is, and the word that says so"
system = "Say what it is."
data = "<data>{{ title }}</data>"

[[stages]]
name = "text"
template = "What?"
text_fields = ["kind"]
quotes = ["quote"]
max_tokens = 96

[stages.output_schema]
type = "object"
additionalProperties = false
required = ["quote", "kind"]
properties.quote = { type = "string", minLength = 2, maxLength = 20 }
properties.kind = { type = "string", minLength = 2, maxLength = 40 }

[sample.fields]
title = "red drum 1"

[sample.answers.text]
quote = "drum"
kind = "a toy drum"
"""


def say_kind(question: str) -> str:
    """An answer to ``item_kind``: quotes the second word of the title and says what it is."""
    found = re.search(r"<data>\w+ (\w+)", question)
    assert found is not None
    return json.dumps({"quote": found[1], "kind": f"a {found[1]} for the house"})


class Teacher:
    """An engine that answers the last question of a conversation by a rule."""

    info = EngineInfo("teacher", "1", "cpu", 65536, 64)

    def __init__(self, answer: Callable[[str], str] = say_kind) -> None:
        self._answer = answer
        self._done: list[Completion] = []

    def submit(self, requests: Sequence[Request]) -> None:
        self._done += [
            Completion(each.key, self._answer(each.messages[-1].content), "stop") for each in requests
        ]

    def poll(self, timeout: float) -> list[Completion]:
        done, self._done = self._done, []
        return done

    def abort(self, keys: Sequence[str]) -> None: ...

    def close(self) -> None: ...


def write_prompt(folder: Path) -> Prompt:
    """The prompt ``item_kind``, as a file of a project."""
    path = folder / "prompts" / "item_kind.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_PROMPT)
    return load_prompt(path)


def fill(store: Store, prompt: Prompt, folder: Path, *, size: int = 24) -> Release:
    """Items, and what the teacher says of each, published."""
    put_items(
        store, {f"i{n:02d}": {"title": f"red {KINDS[n % len(KINDS)]} {n}", "price": 5.0} for n in range(size)}
    )
    put_events(store, [("u1", "i00", 1), ("u1", "i01", 2), ("u1", "i02", 3)])
    return answer_all(store, prompt, folder)


def answer_all(store: Store, prompt: Prompt, folder: Path) -> Release:
    """Bring the teacher's answers up to date, and publish them."""
    entry = find_model("echo", {})
    model = OpenModel(entry, model_spec(entry), Teacher())
    generate(store, prompt, model, options=GenerateOptions(), work_folder=folder)
    publish(store, gates=GatePolicy(max_duplicate_text_share=1.0))
    return FeatureStore(store).release()


def writer_entry(folder: Path) -> ModelEntry:
    """A tiny chat model, run by transformers."""
    return ModelEntry(
        alias="tiny",
        repo="tests/tiny",
        engine="transformers",
        context=CONTEXT,
        memory_gib=0.1,
        disk_gib=0.1,
        dtype="float32",
        folder=str(write_tiny_writer(folder)),
    )


def write_tiny_writer(folder: Path) -> Path:
    """A random two-layer Llama in float32 with a token per byte and a chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")
    fast.chat_template = _TEMPLATE
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=264,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT,
        bos_token_id=None,
        eos_token_id=fast.eos_token_id,
        initializer_range=0.2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(8)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder
