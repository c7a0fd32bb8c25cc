"""A tiny random Llama that begins every text with a token of its own, and LoRA adapters for it."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

HIDDEN_SIZE = 32
CONTEXT = 96
RANK = 3
ALPHA = 6
QUERY = "layers.{layer}.self_attn.q_proj"


def write_tiny_decoder(folder: Path, *, frames: bool = True) -> Path:
    """A random two-layer Llama in float32 with a byte-level tokenizer.

    Args:
        folder: Where to.
        frames: Whether the tokenizer begins every text with ``<|begin|>``.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|begin|>", "<|end|>", "<|pool|>"])
    begin = tokenizer.token_to_id("<|begin|>")
    if frames:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", special_tokens=[("<|begin|>", begin)]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin|>",
        eos_token="<|end|>",
        extra_special_tokens=["<|pool|>"],
    )
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=HIDDEN_SIZE,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(8)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def query_updates(seed: int) -> dict[int, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Layer → (A, B) of the query projection: (rank, hidden) and (hidden, rank) float32."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> npt.NDArray[np.float32]:
        return rng.normal(size=shape).astype(np.float32)

    return {layer: (draw(RANK, HIDDEN_SIZE), draw(HIDDEN_SIZE, RANK)) for layer in range(2)}


def write_query_adapter(folder: Path, *, seed: int = 1, prefix: str = "base_model.model.model.") -> Path:
    """A LoRA adapter of the query projections, as peft saves it.

    Args:
        folder: Where to.
        seed: Of its weights.
        prefix: ``base_model.model.model.`` of one for the decoder with its output layer,
            ``base_model.model.`` without.
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    tensors: dict[str, npt.NDArray[np.float32]] = {}
    for layer, (first, second) in query_updates(seed).items():
        name = prefix + QUERY.format(layer=layer)
        tensors |= {f"{name}.lora_A.weight": first, f"{name}.lora_B.weight": second}
    save_file(tensors, folder / "adapter_model.safetensors")
    stated = {
        "peft_type": "LORA",
        "r": RANK,
        "lora_alpha": ALPHA,
        "target_modules": ["q_proj"],
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(stated))
    return folder
