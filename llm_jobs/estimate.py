"""About how many tokens a generation takes, from a sample of rendered conversations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from featurestore.ids import canonical_json
from llm_jobs.clean import clean_fields
from llm_jobs.inputs import EntityInputs
from llm_jobs.prompt import Prompt
from llm_jobs.render import conversation

_CHARS_PER_TOKEN: Final = 4
_SAMPLE_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class TokenEstimate:
    """Tokens of a plan.

    Attributes:
        prompt: Prompt tokens, about: characters of a sample divided by four.
        shared: Of these, about how many repeat an earlier turn of the same chain: a prefix cache saves them.
        output: Output tokens at most, without reasoning: every answer at its longest.
    """

    prompt: int = 0
    shared: int = 0
    output: int = 0


def estimate_tokens(
    prompt: Prompt, inputs: EntityInputs, positions: Sequence[int], counts: Mapping[str, int]
) -> TokenEstimate:
    """Estimate without a tokenizer.

    Args:
        prompt: What will be rendered.
        inputs: The entities.
        positions: The entities of the plan.
        counts: Rows at most, by stage.
    """
    if not positions:
        return TokenEstimate()
    answers = {name: canonical_json(answer) for name, answer in prompt.sample.answers.items()}
    sample = positions[:: max(1, len(positions) // _SAMPLE_SIZE)][:_SAMPLE_SIZE]
    prompt_tokens = shared = output = 0.0
    for stage in prompt.stages:
        sizes: list[int] = []
        repeated: list[int] = []
        for position in sample:
            fields, _ = clean_fields(inputs.fields(position), prompt.limits)
            lengths = [len(message.content) for message in conversation(prompt, stage, fields, answers)]
            sizes.append(sum(lengths))
            repeated.append(sum(lengths[:-1]) if stage.upstream else 0)
        per_row = counts[stage.name] / len(sample) / _CHARS_PER_TOKEN
        prompt_tokens += sum(sizes) * per_row
        shared += sum(repeated) * per_row
        output += counts[stage.name] * stage.max_tokens
    return TokenEstimate(round(prompt_tokens), round(shared), round(output))
