"""What a tuning on chains learns from, and what it is judged on: chains and instructions, mixed by a share.

What is held out depends on the seed and the ids alone, neither on the share nor on how many examples are
learned from: a pure and a mixed tuning are judged on the same questions and texts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from featurestore.errors import InputError, UsageError
from featurestore.ids import ExternalId, digest, digest_texts
from llm_jobs.tuning.chain_examples import ChainExample
from llm_jobs.tuning.chains_config import ChainsConfig
from llm_jobs.tuning.general_set import Instruction
from llm_jobs.tuning.writer import TokenExample, Writer

_Thing = TypeVar("_Thing")


@dataclass(frozen=True)
class Mixture:
    """Examples of a tuning.

    Attributes:
        chains: Chains that are learned from.
        general: Instructions that are learned from.
        held_chains: Chains that are not, with their questions.
        held_general: Instructions that are not.
        num_too_long: Examples left out because they exceed the limit of tokens.
        num_general_wanted: Instructions that the share asks for; where there are fewer, all are learned from.
    """

    chains: tuple[TokenExample, ...]
    general: tuple[TokenExample, ...]
    held_chains: tuple[tuple[ChainExample, TokenExample], ...]
    held_general: tuple[TokenExample, ...]
    num_too_long: int
    num_general_wanted: int

    @property
    def general_share(self) -> float:
        """Share of instructions among what is learned from, as it came to be."""
        return len(self.general) / len(self.learned)

    @property
    def learned(self) -> tuple[TokenExample, ...]:
        """All that is learned from; the loop draws their order."""
        return (*self.chains, *self.general)

    @property
    def identity(self) -> str:
        """Digest of what is learned from."""
        return _identity(self.learned)

    @property
    def judged_identity(self) -> str:
        """Digest of what is judged on."""
        return _identity([*(tokens for _, tokens in self.held_chains), *self.held_general])


def mix(
    writer: Writer,
    chains: Sequence[ChainExample],
    instructions: Sequence[Instruction],
    config: ChainsConfig,
    *,
    seed: int,
) -> Mixture:
    """Hold out a share of both, and mix the rest: chains first, instructions as far as there are any.

    Args:
        writer: Tokenises.
        chains: All there are.
        instructions: All there are; may be empty if none is to be learned from.
        config: Shares and limits.
        seed: Decides what is held out, and which instructions are taken.

    Raises:
        UsageError: If instructions are to be mixed in and there are none.
        InputError: If nothing is left to learn from, or to judge on.
        SetupError: If the model's chat template refuses a conversation.
    """
    if config.general_share and not instructions:
        raise UsageError(
            f"general_share is {config.general_share:g}, but there are no general instructions.",
            hint="Name a file of them with --general, or learn from chains alone: --set general_share=0",
        )
    limit = min(config.max_tokens or writer.context, writer.context)
    pairs = [(each, writer.example(each.messages, each.answer)) for each in chains]
    short = [pair for pair in pairs if len(pair[1]) <= limit]
    learned, held = _parted(short, _questions([each for each, _ in short]), config, seed)
    texts = [writer.example(each.messages, each.output) for each in instructions]
    questions = [each.question for each, text in zip(instructions, texts, strict=True) if len(text) <= limit]
    general, held_general = _parted([each for each in texts if len(each) <= limit], questions, config, seed)
    if not learned or not held:
        raise InputError(
            f"{len(short)} chains of at most {limit} tokens cannot be parted into some to learn from and "
            f"some to judge on ({len(pairs) - len(short)} are longer).",
            hint="Generate more, or raise max_tokens or held_out_share.",
        )
    chosen = tuple(tokens for _, tokens in learned[: config.max_examples])
    wanted = round(len(chosen) * config.general_share / (1 - config.general_share))
    return Mixture(
        chains=chosen,
        general=tuple(general[:wanted]),
        held_chains=tuple(held[: config.judged_texts]),
        held_general=tuple(held_general[: config.judged_texts]),
        num_too_long=len(pairs) - len(short) + len(texts) - len(questions),
        num_general_wanted=wanted,
    )


def _questions(chains: Sequence[ChainExample]) -> list[str]:
    """What is parted as one: an entity with all its stages, and entities of which the same is asked first.

    Variants of an item have the same text: an answer that was learned of one would be known of the other.
    """
    first: dict[ExternalId, str] = {}
    for each in chains:
        first.setdefault(each.entity_id, digest_texts([message.content for message in each.messages]))
    return [first[each.entity_id] for each in chains]


def _parted(
    things: Sequence[_Thing], names: Sequence[str], config: ChainsConfig, seed: int
) -> tuple[list[_Thing], list[_Thing]]:
    """(learned from, held out), each in a random order; things of one name stay together."""
    rank = {name: digest_texts([str(seed), name]) for name in names}
    order = sorted(range(len(things)), key=lambda row: rank[names[row]])
    held = set(sorted(rank, key=rank.__getitem__)[: math.ceil(len(rank) * config.held_out_share)])
    ordered = [(names[row] in held, things[row]) for row in order]
    return [each for is_held, each in ordered if not is_held], [each for is_held, each in ordered if is_held]


def _identity(examples: Sequence[TokenExample]) -> str:
    return digest([[list(each.prompt), list(each.answer)] for each in examples])
