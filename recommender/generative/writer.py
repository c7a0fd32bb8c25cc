"""T5 over tokens and words: it reads lines of `inputs` and writes the tokens of an item.

    X̂ = [ p ; x_1 + a w_1 ; … ; x_n + a w_n ]               ISRF (arXiv 2603.13934); p: POD's prompt vectors
    p(Y | X̂) = Π_t p(y_t | y_<t, X̂)                         eq. 11 is its mean negative logarithm

x_k are T5's own token embeddings, w_k whole-word embeddings (`recommender.generative.words`), p one set of
vectors per task, a is word_scale (the paper's alpha). ``weights`` names a folder, or a hub's name, that
transformers reads a T5 and its tokenizer from (`recommender.generative.pretrained`): digits are added to its
vocabulary, the words of the tasks are its own. Without weights T5 begins at random, at the size that the
settings say, and each word of a task is one token: no tokenizer is needed.

Letters: B lines, T tokens, P prompt vectors, w levels of an item, V tokens of the vocabulary, d dimensions.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from featurestore.errors import StoreError
from recommender.data import IntArray
from recommender.generative.config import GenerativeConfig
from recommender.generative.inputs import Inputs
from recommender.generative.pretrained import Pretrained, config_of, empty_t5, load_transformers, read_t5
from recommender.generative.tokens import PAD, TASKS, Vocabulary, new_vocabulary

_PROMPT_STD: Final = 1.0


@dataclass(frozen=True, slots=True)
class Encoded:
    """Lines that the encoder has read.

    Attributes:
        states: (B, P + T, d).
        is_token: (B, P + T) int64, 0 at padding.
    """

    states: torch.Tensor
    is_token: torch.Tensor


class Writer(torch.nn.Module):
    """T5 and the prompt vectors.

    Args:
        t5: A ``T5ForConditionalGeneration``, whose vocabulary holds all tokens.
        config: Gives a, P and the dropout.
        generator: Of the prompt vectors.
    """

    def __init__(self, t5: Any, config: GenerativeConfig, generator: torch.Generator) -> None:  # noqa: ANN401 - a class of transformers
        super().__init__()
        self.t5 = t5
        self.word_scale = config.word_scale
        shape = (len(TASKS), config.prompts, self.width)
        self.prompts = torch.nn.Parameter(torch.randn(shape, generator=generator) * _PROMPT_STD)

    @property
    def width(self) -> int:
        """Dimensions d."""
        return int(self.t5.config.d_model)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.prompts.device

    def embed(self, inputs: Inputs, words: torch.Tensor | None) -> torch.Tensor:
        """X̂: (B, P + T, d) from (B, T, d) whole-word embeddings; None adds none."""
        tokens = torch.from_numpy(inputs.tokens).to(self.device)
        read = self.t5.shared(tokens)
        if words is not None:
            read = read + self.word_scale * words
        prompt = self.prompts[TASKS.index(inputs.task)]  # (P, d)
        return torch.cat([prompt.expand(len(tokens), -1, -1), read], dim=1)

    def encode(self, inputs: Inputs, words: torch.Tensor | None) -> Encoded:
        """What the decoder attends to."""
        is_token = torch.from_numpy(inputs.is_token.astype(np.int64)).to(self.device)
        is_prompt = is_token.new_ones(len(is_token), self.prompts.shape[1])
        mask = torch.cat([is_prompt, is_token], dim=1)
        states = self.t5.encoder(inputs_embeds=self.embed(inputs, words), attention_mask=mask)[0]
        return Encoded(states, mask)

    def logits(self, encoded: Encoded, targets: torch.Tensor) -> torch.Tensor:
        """(B, w, V) before each of (B, w) int64 target tokens, which are read from the second on."""
        begun = torch.nn.functional.pad(targets[:, :-1], (1, 0), value=PAD)  # (B, w)
        return self.t5(
            encoder_outputs=(encoded.states,),
            attention_mask=encoded.is_token,
            decoder_input_ids=begun,
            use_cache=False,
        ).logits


@contextmanager
def drawn_from(*seeds: int) -> Generator[None]:
    """Torch's own generator, which T5 draws weights and dropout from, as a function of some integers.

    Outside, it stays where it was.
    """
    state = int(np.random.SeedSequence(seeds).generate_state(1)[0])
    with torch.random.fork_rng():
        torch.manual_seed(state)
        yield


def new_writer(
    config: GenerativeConfig, item_digits: IntArray, num_users: int, seed: int
) -> tuple[Writer, Vocabulary]:
    """A writer with its first weights, and the tokens it knows.

    Args:
        config: Names weights, or a size.
        item_digits: (I, w) int64.
        num_users: U.
        seed: Of all weights that are not read.

    Raises:
        SetupError: If transformers is not installed, or can read no whole T5 where ``weights`` says.
    """
    generator = torch.Generator().manual_seed(seed)
    with drawn_from(seed, 0x75):
        if config.weights is None:
            vocabulary = new_vocabulary(item_digits, num_users, config.num_digits)
            return Writer(_random_t5(config, vocabulary.size), config, generator), vocabulary
        t5, words = read_t5(config.weights, config.dropout)
        vocabulary = new_vocabulary(item_digits, num_users, config.num_digits, words)
        t5.resize_token_embeddings(vocabulary.size, mean_resizing=False)
        return Writer(t5, config, generator), vocabulary


def pretrained_of(config: GenerativeConfig, writer: Writer, vocabulary: Vocabulary) -> Pretrained | None:
    """What `empty_writer` needs beside the settings; None of a T5 that began at random."""
    if config.weights is None:
        return None
    return Pretrained(t5=config_of(writer.t5), words=vocabulary.words)


def empty_writer(
    config: GenerativeConfig, item_digits: IntArray, num_users: int, pretrained: Pretrained | None
) -> tuple[Writer, Vocabulary]:
    """A writer like that of `new_writer`, whose weights are to be put in; it reads no folder.

    Args:
        config: As the writer had it.
        item_digits: (I, w) int64.
        num_users: U.
        pretrained: What `pretrained_of` gave.

    Raises:
        SetupError: If transformers is not installed.
        StoreError: If the settings name weights, and nothing was kept of them.
    """
    if config.weights is None:
        return new_writer(config, item_digits, num_users, 0)
    if pretrained is None:
        raise StoreError(
            f"the model began with the T5 {config.weights!r}, and nothing of its configuration and words was "
            "saved with it, as it is now.",
            hint="Train the model again.",
        )
    vocabulary = new_vocabulary(item_digits, num_users, config.num_digits, pretrained.words)
    with drawn_from(0, 0x75):
        return Writer(empty_t5(pretrained.t5), config, torch.Generator()), vocabulary


def _random_t5(config: GenerativeConfig, vocab_size: int) -> Any:  # noqa: ANN401 - a class of transformers
    transformers = load_transformers()
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=vocab_size,
            d_model=config.embedding_dim,
            d_kv=config.embedding_dim // config.num_heads,
            d_ff=config.hidden_dim,
            num_layers=config.num_blocks,
            num_heads=config.num_heads,
            dropout_rate=config.dropout,
            decoder_start_token_id=PAD,
        )
    )
