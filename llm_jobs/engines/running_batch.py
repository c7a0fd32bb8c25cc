"""Continuous batching with a transformers model: sequences join and leave the batch between its steps."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from llm_jobs.engine import Request
from llm_jobs.engines.slot_cache import SlotCache
from llm_jobs.engines.token_draw import draw_token

_COLUMN_STEP = 64
"""Buffers are sized in such steps, so that they are seldom made anew."""


@dataclass(slots=True)
class RunningSequence:
    """A request on its way.

    Attributes:
        request: What is answered.
        prompt: Its token ids.
        generator: Draws its tokens and no others.
        seen: Tokens that were there, (vocabulary,) bool; None without a repetition penalty.
        generated: Output token ids so far, the one that ends the turn included.
        ended: Whether the model ended its turn.
    """

    request: Request
    prompt: list[int]
    generator: torch.Generator
    seen: Tensor | None
    generated: list[int] = field(default_factory=list[int])
    ended: bool = False

    @property
    def needed(self) -> int:
        """Tokens of prompt and longest possible answer."""
        return len(self.prompt) + self.request.sampling.max_tokens

    @property
    def answer(self) -> list[int]:
        """The output without the token that ended the turn."""
        return self.generated[:-1] if self.ended else self.generated

    @property
    def done(self) -> bool:
        """Whether nothing more is to be drawn."""
        return self.ended or len(self.generated) >= self.request.sampling.max_tokens


class RunningBatch:
    """The sequences that a model works on at once. Not safe between threads.

    Args:
        model: A causal language model of transformers with full attention, in evaluation mode.
        cache: Its key-value buffers.
        end_ids: Tokens that end a turn.
        max_sequences: Sequences at once at most.
    """

    def __init__(self, model: Any, cache: SlotCache, end_ids: Collection[int], max_sequences: int) -> None:  # noqa: ANN401 - a type of transformers
        self._model = model
        self._cache = cache
        self._end_ids = frozenset(end_ids)
        self._max_sequences = max_sequences
        self._device: torch.device = model.device
        self._vocabulary: int = model.get_output_embeddings().weight.shape[0]
        self._running: list[RunningSequence] = []

    def __len__(self) -> int:
        return len(self._running)

    def has_room(self, needed: int) -> bool:
        """Whether a sequence of so many tokens may join now."""
        rows = len(self._running) + 1
        return rows <= self._max_sequences and rows * self._columns_for(needed) <= self._cache.max_tokens

    @torch.inference_mode()
    def join(self, request: Request, prompt: list[int]) -> None:
        """Compute a prompt and draw its first token; see `has_room`. Its outcome comes from `step`."""
        generator = torch.Generator(self._device).manual_seed(request.sampling.seed)
        sequence = RunningSequence(request, prompt, generator, self._seen(request, prompt))
        self._make_room(sequence.needed)
        count = len(prompt)
        positions = torch.arange(count, device=self._device)[None]  # (1, prompt)
        mask = torch.ones(count, count, dtype=torch.bool, device=self._device).tril()[None, None]
        scores = self._forward(
            len(self._running), torch.tensor([prompt], device=self._device), positions, mask
        )
        self._draw(sequence, scores[0])
        self._running.append(sequence)

    @torch.inference_mode()
    def step(self) -> list[RunningSequence]:
        """Draw one more token of every sequence; those that are done leave the batch and are returned."""
        finished = self._take_out([row for row, sequence in enumerate(self._running) if sequence.done])
        if not self._running:
            return finished
        last = [[sequence.generated[-1]] for sequence in self._running]
        ends = [[len(sequence.prompt) + len(sequence.generated) - 1] for sequence in self._running]
        positions = torch.tensor(ends, device=self._device)  # (sequences, 1)
        mask = torch.arange(int(positions.max()) + 1, device=self._device) <= positions[:, :, None, None]
        scores = self._forward(0, torch.tensor(last, device=self._device), positions, mask)
        for sequence, row_scores in zip(self._running, scores, strict=True):
            self._draw(sequence, row_scores)
        return finished + self._take_out([row for row, sequence in enumerate(self._running) if sequence.done])

    def remove(self, keys: Collection[str]) -> list[RunningSequence]:
        """Take sequences out of the batch; keys that are not in it do not matter."""
        return self._take_out([row for row, s in enumerate(self._running) if s.request.key in keys])

    def clear(self) -> list[RunningSequence]:
        """Take all sequences out."""
        running, self._running = self._running, []
        return running

    def _forward(self, first_row: int, ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Scores after the last token of each sequence, (sequences, vocabulary) float32."""
        self._cache.aim(first_row, positions)
        output = self._model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,  # (sequences, 1, tokens, columns): four dimensions are taken as they are
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1].float()

    def _draw(self, sequence: RunningSequence, scores: Tensor) -> None:
        token = draw_token(scores, sequence.request.sampling, sequence.seen, sequence.generator)
        sequence.generated.append(token)
        sequence.ended = token in self._end_ids
        if sequence.seen is not None:
            sequence.seen[token] = True

    def _seen(self, request: Request, prompt: list[int]) -> Tensor | None:
        if request.sampling.repetition_penalty == 1:
            return None
        seen = torch.zeros(self._vocabulary, dtype=torch.bool, device=self._device)
        seen[torch.tensor(prompt, device=self._device)] = True
        return seen

    def _columns_for(self, needed: int) -> int:
        longest = max([needed, *(sequence.needed for sequence in self._running)])
        return min(-(-longest // _COLUMN_STEP) * _COLUMN_STEP, self._cache.max_tokens)

    def _make_room(self, needed: int) -> None:
        rows, columns = len(self._running) + 1, self._columns_for(needed)
        if rows > self._cache.num_rows or columns > self._cache.num_columns:
            most = min(self._max_sequences, self._cache.max_tokens // columns)
            self._cache.resize(most, columns, kept_rows=len(self._running))

    def _take_out(self, rows: list[int]) -> list[RunningSequence]:
        """Remove rows; the last ones move into the gaps, so that rows in use stay together."""
        taken: list[RunningSequence] = []
        for row in reversed(rows):
            taken.append(self._running[row])
            final = self._running.pop()
            if row < len(self._running):
                self._running[row] = final
                self._cache.move(len(self._running), row)
        return taken[::-1]
