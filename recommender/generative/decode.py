"""Beam search among items: the k likeliest beginnings of every level, all lines at once.

    score of an item = Σ_t log p(y_t | y_<t, X̂) over all tokens of the vocabulary, as it was trained

What is no item is refused, not renormalised (`recommender.generative.trie`). With as many beams as there are
beginnings of the level before the last, the lists are those of scoring every item. The decoder reads one
token a level: keys and values of what was written are kept, those of the line are computed once and shared
by its beams.

Letters: B lines, k beams, s digits of a level, V tokens of the vocabulary.
"""

from typing import Any

import torch

from recommender.data import FloatArray, IntArray
from recommender.generative.tokens import PAD, Vocabulary
from recommender.generative.trie import Trie
from recommender.generative.writer import Encoded, Writer


@torch.no_grad()
def write_items(
    writer: Writer, vocabulary: Vocabulary, encoded: Encoded, trie: Trie, beam_size: int
) -> tuple[IntArray, FloatArray]:
    """The likeliest items of each line, best first; equal scores by ascending item row.

    Args:
        writer: In evaluation mode: nothing is dropped.
        vocabulary: Its tokens.
        encoded: B lines.
        trie: What may be written.
        beam_size: Beams of a line at most.

    Returns:
        (B, k) int64 item rows and (B, k) float32 scores, k ≤ ``beam_size``; -1 and -inf where a line has no
        more.
    """
    num_lines = len(encoded.states)
    decoder, state = _Decoder(writer, encoded), trie.begin(num_lines)
    scores = encoded.states.new_zeros(num_lines, 1)
    tokens = torch.full((num_lines, 1), PAD, device=encoded.states.device)
    for level in range(vocabulary.num_levels):
        start, size = int(vocabulary.level_starts[level]), int(vocabulary.level_sizes[level])
        found = decoder.step(tokens)[:, :, start : start + size]  # (B, k, s)
        allowed = trie.allowed(level, state)
        total = (scores.unsqueeze(2) + found).masked_fill(~allowed, -torch.inf).flatten(1)  # (B, k s)
        scores, places = total.topk(min(beam_size, total.shape[1]), dim=1)  # (B, k')
        beams, digits = places // size, places % size
        state = trie.follow(level, state, beams, digits)
        if level < vocabulary.num_levels - 1:
            decoder.keep(beams)
            tokens = digits + start
    items = torch.where(scores > -torch.inf, trie.items(state), -1)
    items, order = items.sort(dim=1)
    scores, best = scores.gather(1, order).sort(dim=1, descending=True, stable=True)
    return items.gather(1, best).cpu().numpy(), scores.cpu().numpy()


class _Decoder:
    """T5's decoder, token by token, with its memory of what each beam has written."""

    def __init__(self, writer: Writer, encoded: Encoded) -> None:
        self._writer = writer
        self._encoded = encoded
        self._memory: Any = None

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, k, V) logarithms of the chances of what follows (B, k) tokens, the newest of each beam."""
        states, is_token = self._encoded.states, self._encoded.is_token
        num_lines, num_beams = tokens.shape
        if self._memory is None:
            asked = states
        else:  # keys and values are known: of the line only its shape is read
            asked = states[:, None].expand(-1, num_beams, -1, -1).flatten(0, 1)
        written = self._writer.t5(
            encoder_outputs=(asked,),
            attention_mask=is_token.repeat_interleave(num_beams, dim=0),
            decoder_input_ids=tokens.reshape(-1, 1),
            past_key_values=self._memory,
            use_cache=True,
        )
        self._memory = written.past_key_values
        return written.logits[:, -1].log_softmax(dim=-1).view(num_lines, num_beams, -1)

    def keep(self, beams: torch.Tensor) -> None:
        """Go on with (B, k') of the beams."""
        num_lines = len(beams)
        rows = self._memory.self_attention_cache.layers[0].keys.shape[0]
        first = torch.arange(num_lines, device=beams.device).unsqueeze(1) * (rows // num_lines)  # (B, 1)
        self._memory.self_attention_cache.reorder_cache((first + beams).flatten())
        if beams.shape[1] != rows // num_lines:  # a line's beams share what the line says
            self._memory.cross_attention_cache.reorder_cache(first.expand_as(beams).flatten())
