"""Tiny random models in real formats, written by the tests themselves: gibberish in, gibberish out."""

from pathlib import Path

_R1_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ m.content }}"
    "{% elif m.role == 'user' %}<|User|>{{ m.content }}"
    "{% else %}<|Assistant|>{{ m.content.split('</think>')[-1] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}"
)
"""As the R1 distills have it: the prompt opens the thoughts, and thoughts of earlier turns are dropped."""


def write_tiny_reasoner(folder: Path, *, ends: bool = True) -> Path:
    """A random two-layer Qwen2 model with a byte-level tokenizer and an R1-style chat template.

    Args:
        folder: Where to.
        ends: Whether it knows a token that ends its turn; if not, it writes until it is cut off.
    """
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|begin|>", "<|end|>", "<|User|>", "<|Assistant|>"])
    tokenizer.add_tokens([AddedToken("<think>"), AddedToken("</think>")])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|end|>", pad_token="<|end|>"
    )
    fast.chat_template = _R1_TEMPLATE
    fast.save_pretrained(folder)
    config = Qwen2Config(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=16384,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id if ends else None,
        pad_token_id=fast.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        Qwen2ForCausalLM(config).bfloat16().save_pretrained(folder)
    return folder


def write_tiny_easyrec(folder: Path, *, hidden_size: int = 32) -> Path:
    """A random RoBERTa checkpoint as EasyRec has it: class ``Easyrec``, its encoder under ``roberta.``."""
    import json

    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    specials = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4}
    letters = {letter: i + 5 for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=specials | letters, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    names = {"bos": "<s>", "eos": "</s>", "pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>"}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        mask_token="<mask>",
        model_max_length=64,
        **{f"{kind}_token": token for kind, token in names.items()},
    ).save_pretrained(folder)
    config = RobertaConfig(
        vocab_size=len(specials) + len(letters),
        hidden_size=hidden_size,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=66,
        type_vocab_size=1,
    )
    config.save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"architectures": ["Easyrec"], "model_type": "roberta"})
    )
    with torch.random.fork_rng():
        torch.manual_seed(6)
        model = RobertaModel(config)
    weights = {f"roberta.{name}": tensor.clone() for name, tensor in model.state_dict().items()}
    weights["lm_head.bias"] = torch.zeros(config.vocab_size)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
