"""A model that writes, ready for an adapter: its network, and conversations as its engines tokenise them.

Letters: b examples, t tokens, h hidden size, w words of the vocabulary, n answer tokens of the whole batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from featurestore.errors import SetupError, UsageError, missing_extra
from featurestore.spec import ModelSpec, Sampling
from llm_jobs.engine import Message, Request
from llm_jobs.engines.chat_tokens import ChatTokens
from llm_jobs.engines.transformers_model import end_ids, load_causal_model
from llm_jobs.entries import ModelEntry
from llm_jobs.model_folder import context_length
from llm_jobs.models import model_spec
from llm_jobs.tuned_models import require_writer
from llm_jobs.tuning.config import TuningConfig, tuning_device
from llm_jobs.weights import locate_model


@dataclass(frozen=True, slots=True)
class TokenExample:
    """A conversation and its answer as token ids.

    Attributes:
        prompt: Ends where the answer begins.
        answer: With the token that ends the turn.
    """

    prompt: tuple[int, ...]
    answer: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True)
class Writer:
    """A base model that writes.

    Attributes:
        network: A decoder of transformers with its output layer.
        spec: Which model it is, without an adapter.
        chat: Conversations as token ids, as engines make them.
        tokenizer: Of transformers.
        end_ids: Tokens that end a turn.
        context: Tokens of prompt and answer, at most.
    """

    network: Any
    spec: ModelSpec
    chat: ChatTokens
    tokenizer: Any
    end_ids: frozenset[int]
    context: int

    def example(self, messages: tuple[Message, ...], answer: str) -> TokenExample:
        """A conversation with the answer that is to be learned.

        Raises:
            SetupError: If the chat template refuses the conversation.
        """
        prompt = self.chat.prompt_ids(Request("", messages, Sampling()))
        written = self.tokenizer.encode(answer, add_special_tokens=False)
        return TokenExample(tuple(prompt), (*written, self.tokenizer.eos_token_id))


def load_writer(entry: ModelEntry, config: TuningConfig) -> Writer:
    """The model of an entry, on the config's device.

    Raises:
        UsageError: If its engine loads no adapters, it has one, it is quantised or it thinks aloud.
        SetupError: If weights or transformers are absent or cannot be loaded, or no token ends a turn.
    """
    require_writer(entry)
    _require_plain(entry)
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise missing_extra("transformers", "encode") from None
    folder = locate_model(entry)
    stated = entry.model_copy(update={"dtype": config.precision})
    network = load_causal_model(stated, folder, str(tuning_device(config)))
    # The length limit is the job's to check: of longer inputs transformers would only warn.
    tokenizer = AutoTokenizer.from_pretrained(str(folder), model_max_length=10**9)
    if tokenizer.eos_token_id is None:
        raise _endless(entry, folder)
    chat = ChatTokens(tokenizer, entry.template_options, reasoning=False)
    longest = min(entry.context, context_length(folder) or entry.context)
    ends = end_ids(network) | chat.end_ids
    return Writer(network, model_spec(entry), chat, tokenizer, ends, longest)


class AdaptedWriter(torch.nn.Module):
    """A writer's network with its adapter: how likely it finds answers.

    Args:
        network: What `llm_jobs.tuning.lora` made of `Writer.network`.
    """

    def __init__(self, network: Any) -> None:  # noqa: ANN401 - a type of peft
        super().__init__()
        self.network = network

    @property
    def decoder(self) -> Any:  # noqa: ANN401 - a type of transformers
        """The decoder with its output layer; the adapter is within."""
        return self.network.get_base_model()

    def forward(self, examples: Sequence[TokenExample]) -> torch.Tensor:
        """(b,) float32: the mean negative log probability of each example's answer tokens.

        Words are scored where an answer's token comes next, and nowhere else: most places are a prompt's.
        """
        decoder = self.decoder
        device = decoder.device
        lengths = [len(each) for each in examples]
        longest = max(lengths)
        rows = [[*each.prompt, *each.answer] for each in examples]
        padded = torch.tensor(
            [row + row[-1:] * (longest - len(row)) for row in rows], device=device
        )  # (b, t)
        seen = torch.ones(longest, longest, dtype=torch.bool, device=device).tril()[
            None, None
        ]  # (1, 1, t, t)
        # Padding comes last, so that nothing before it sees it.
        inputs = {"input_ids": padded, "attention_mask": seen.expand(len(rows), 1, -1, -1)}
        states = decoder.base_model(**inputs, use_cache=False).last_hidden_state  # (b, t, h)
        owner = torch.tensor(
            [n for n, each in enumerate(examples) for _ in each.answer], device=device
        )  # (n,)
        place = torch.tensor(
            [len(e.prompt) - 1 + step for e in examples for step in range(len(e.answer))], device=device
        )
        target = torch.tensor([token for each in examples for token in each.answer], device=device)  # (n,)
        scores = decoder.get_output_embeddings()(states[owner, place]).float()  # (n, w)
        losses = torch.nn.functional.cross_entropy(scores, target, reduction="none")  # (n,)
        counts = torch.bincount(owner, minlength=len(examples))
        return losses.new_zeros(len(examples)).index_add(0, owner, losses) / counts


def _require_plain(entry: ModelEntry) -> None:
    if entry.reasoning is not None:
        raise UsageError(
            f"model {entry.alias!r} thinks aloud before it answers, and stored answers hold no thoughts.",
            hint="Name a model that answers at once, or leave reasoning out of its entry "
            "(with template_options = { enable_thinking = false } where its template knows that).",
        )
    if entry.quantization is not None:
        raise UsageError(
            f"model {entry.alias!r} is quantised ({entry.quantization}): gradients need whole weights.",
            hint="Tune the model that it was quantised from.",
        )


def _endless(entry: ModelEntry, folder: Path) -> SetupError:
    return SetupError(
        f"the tokenizer of model {entry.alias!r} in {folder} names no token that ends a turn.",
        hint="Set eos_token in its tokenizer_config.json.",
    )
