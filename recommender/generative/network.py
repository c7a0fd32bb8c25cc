"""What learns: T5 and whole words in one network, by eq. 10 and 11 of ISRF (arXiv 2603.13934).

    L = L_gen + λ_SA L_SA in sequential batches, L_gen + λ_DS L_DS in direct ones    eq. 10; the paper: λ = 1
    L_gen = -1/B Σ over lines Σ_t log p(y_t | y_<t, X̂)                              eq. 11

L_gen reaches E, H and the adapter through the words of X̂; eq. 8 and 9 are
`recommender.interests.agreement`, with the lines of a batch as users. The third task of the paper,
explanations, is left out, for want of reviews.
"""

import torch
from torch.nn.functional import log_softmax

from recommender.data import IntArray
from recommender.generative.config import GenerativeConfig
from recommender.generative.inputs import BatchSampler, Examples
from recommender.generative.tokens import Task, Vocabulary
from recommender.generative.words import ReadWords, Sources, new_words
from recommender.generative.writer import Writer, new_writer
from recommender.interests.agreement import align


class GenerativeNetwork(torch.nn.Module):
    """The trainable part.

    Args:
        config: Settings.
        sources: Training events, and what whole words are made of.
        item_digits: (I, w) int64 names of items.
        seed: Of the first weights.
    """

    def __init__(
        self,
        config: GenerativeConfig,
        sources: Sources,
        item_digits: IntArray,
        seed: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.vocabulary: Vocabulary
        self.writer: Writer
        self.writer, self.vocabulary = new_writer(config, item_digits, sources.data.num_users, seed)
        self.words = new_words(config, self.writer.width, sources, seed)
        self.sampler = BatchSampler(config, sources.data, self.vocabulary)

    def loss(self, examples: Examples) -> torch.Tensor:
        """L of one batch: a scalar."""
        read = self.words(examples.inputs)
        encoded = self.writer.encode(examples.inputs, read.tokens)
        targets = torch.from_numpy(self.vocabulary.item_tokens[examples.targets]).to(self.writer.device)
        generation = generation_loss(self.writer.logits(encoded, targets), targets)
        return generation + self._alignment(examples.inputs.task, read)

    def _alignment(self, task: Task, read: ReadWords) -> torch.Tensor:
        config = self.config
        weight = config.sequence_weight if task == "sequential" else config.distillation_weight
        if read.groups is None or read.users is None or read.sequences is None or not weight:
            return self.writer.prompts.new_zeros(())
        teachers = read.sequences if task == "sequential" else read.users.detach()
        return weight * align(config.align, teachers, read.groups, config.temperature)


def generation_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Eq. 11 of a batch: a scalar from (B, w, V) logits and (B, w) int64 tokens."""
    chosen = log_softmax(logits, dim=-1).gather(2, targets.unsqueeze(2)).squeeze(2)  # (B, w)
    return -chosen.sum(dim=1).mean()
