"""Tiny base models and a toy objective: for tests of tuning."""

from pathlib import Path

import numpy as np
import torch
from tiny_decoder import HIDDEN_SIZE, write_tiny_decoder

from llm_jobs.entries import EncoderEntry
from llm_jobs.tuning.base_model import TextVectors, load_base
from llm_jobs.tuning.config import Examples, TuningConfig
from llm_jobs.tuning.lora import attach_adapter

QUICK = TuningConfig(
    learning_rate=5e-3,
    head_learning_rate=1e-2,
    lora_rank=4,
    lora_dropout=0.1,
    epochs=3,
    batch_size=4,
    accumulation=2,
    checkpoint_steps=2,
)
"""Nine steps over 24 examples."""
WORDS = ("rose", "drum", "kettle", "lamp", "beard", "oil", "toy", "soap")


def decoder_entry(folder: Path) -> EncoderEntry:
    """A tiny decoder that is pooled at its last token."""
    return EncoderEntry(
        alias="tiny-decoder",
        encoder="hidden_state",
        model="tests/tiny-decoder",
        pooling="last_token",
        pooling_token="<|pool|>",
        normalize=False,
        embedding_dim=HIDDEN_SIZE,
        max_tokens=64,
        folder=str(write_tiny_decoder(folder)),
    )


def encoder_entry(folder: Path) -> EncoderEntry:
    """A tiny BERT that is pooled by its mean."""
    return EncoderEntry(
        alias="tiny-encoder",
        model="tests/tiny-encoder",
        embedding_dim=HIDDEN_SIZE,
        max_tokens=32,
        folder=str(write_tiny_encoder(folder)),
    )


def write_tiny_encoder(folder: Path) -> Path:
    """A random two-layer BERT with a vocabulary of single characters."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(33, 127))]
    vocabulary += [f"##{letter}" for letter in map(chr, range(33, 127))]
    BertTokenizerFast(vocab={token: i for i, token in enumerate(vocabulary)}).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=HIDDEN_SIZE,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(9)
        BertModel(config).save_pretrained(folder)
    return folder


class WordClasses(torch.nn.Module):
    """A toy objective: which of the eight words a text begins with, by a linear head on its vector."""

    def __init__(self, inputs: list[list[int]], labels: list[int], *, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.head = torch.nn.Parameter(torch.randn(len(WORDS), HIDDEN_SIZE, generator=generator) * 0.1)
        self.register_buffer("num_steps", torch.zeros((), dtype=torch.int64))
        self._inputs, self._labels = inputs, torch.tensor(labels)

    @property
    def num_examples(self) -> int:
        return len(self._inputs)

    def loss(self, model: TextVectors, examples: Examples) -> torch.Tensor:
        vectors = model([self._inputs[example] for example in examples.tolist()])
        return torch.nn.functional.cross_entropy(
            vectors @ self.head.T, self._labels[torch.from_numpy(examples)]
        )

    def after_step(self) -> None:
        self.num_steps += 1


def word_texts(count: int, *, seed: int = 3) -> tuple[list[str], list[int]]:
    """Texts of two words, and which word comes first."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(len(WORDS), size=count).tolist()
    return [f"{WORDS[label]} {WORDS[rng.integers(len(WORDS))]} {n}" for n, label in enumerate(labels)], labels


def toy_job(
    entry: EncoderEntry, config: TuningConfig, *, count: int = 24, seed: int = 5
) -> tuple[TextVectors, WordClasses]:
    """A fresh adapter on a fresh base model, and the toy objective over ``count`` texts."""
    base = load_base(entry, config)
    texts, labels = word_texts(count)
    model = TextVectors(attach_adapter(base.network, config, seed=seed), base.spec.pooling)
    return model, WordClasses(base.token_ids(texts), labels)
