"""What a model answers to held-out questions: is it JSON of the right form, and are its quotes in the data?

The model writes greedily and without a grammar, in this process, in batches of the transformers engine.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from featurestore.progress import Progress, no_progress
from featurestore.spec import Sampling
from llm_jobs.engine import Request
from llm_jobs.engines.running_batch import RunningBatch
from llm_jobs.engines.slot_cache import SlotCache
from llm_jobs.engines.transformers_model import bytes_per_token
from llm_jobs.parse import ParsedAnswer, parse_answer, quotes_found
from llm_jobs.prompt import Prompt
from llm_jobs.tuning.chain_examples import ChainExample
from llm_jobs.tuning.writer import AdaptedWriter, Writer

_CACHE_BYTES: Final = 2**30
_SEQUENCES: Final = 16
_NO_FORM: Final = frozenset({"no_json", "schema", "cut_off"})
"""Reasons of answers that are no JSON object of the schema."""


@dataclass(frozen=True, slots=True)
class AnswerQuality:
    """What answers are worth.

    Attributes:
        num_answers: Questions that were asked.
        valid_json: Share of answers that are JSON of the schema.
        passed: Share that passes all checks, quotes included.
        num_quotes: Quotes in the answers that pass every check but that of their quotes.
        quotes_found: Share of these that occur in the data; None without quotes.
        reasons: Why others do not pass: reason → answers.
    """

    num_answers: int
    valid_json: float
    passed: float
    num_quotes: int
    quotes_found: float | None
    reasons: Mapping[str, int] = field(default_factory=dict[str, int])


def write_answers(
    writer: Writer,
    model: AdaptedWriter,
    asked: Sequence[ChainExample],
    *,
    progress: Progress = no_progress,
) -> list[str]:
    """What the model answers, in order: greedily, cut where the stage's longest answer ends.

    Args:
        writer: Tokenises.
        model: Its network, adapted.
        asked: Questions; their answers are not read.
        progress: Told about answers.
    """
    decoder = model.decoder.eval()
    cache = SlotCache(bytes_per_token=bytes_per_token(decoder), max_bytes=_CACHE_BYTES)
    batch = RunningBatch(decoder, cache, writer.end_ids, _SEQUENCES)
    waiting = [
        Request(str(number), each.messages, Sampling(max_tokens=each.stage.max_tokens))
        for number, each in enumerate(asked)
    ]
    texts: dict[str, str] = {}
    while len(texts) < len(asked):
        while waiting:
            prompt = writer.chat.prompt_ids(waiting[0])
            if len(batch) and not batch.has_room(len(prompt) + waiting[0].sampling.max_tokens):
                break
            batch.join(waiting.pop(0), prompt)
        for sequence in batch.step():
            texts[sequence.request.key] = writer.chat.text(sequence.answer)
            progress(len(texts), len(asked), "answers")
    return [texts[str(number)] for number in range(len(asked))]


def judge_answers(prompt: Prompt, asked: Sequence[ChainExample], texts: Sequence[str]) -> AnswerQuality:
    """The quality of answers to questions.

    Args:
        prompt: That asked.
        asked: Questions.
        texts: An answer to each, raw.
    """
    reasons: Counter[str] = Counter()
    found: list[bool] = []
    for example, text in zip(asked, texts, strict=True):
        # Quotes are looked up one by one below: an answer is not to fail at its first.
        stage = example.stage.model_copy(update={"quotes": ()})
        parsed = parse_answer(text, stage, source_text=example.source, system=prompt.system)
        if not isinstance(parsed, ParsedAnswer):
            reasons[parsed.reason] += 1
            continue
        quotes = quotes_found(parsed.answer, example.stage, example.source)
        found += quotes
        reasons["quote_not_found"] += not all(quotes)
    count = len(asked)
    formless = sum(reasons[reason] for reason in _NO_FORM)
    return AnswerQuality(
        num_answers=count,
        valid_json=(count - formless) / count,
        passed=(count - reasons.total()) / count,
        num_quotes=len(found),
        quotes_found=sum(found) / len(found) if found else None,
        reasons={reason: count for reason, count in sorted(reasons.items()) if count},
    )
