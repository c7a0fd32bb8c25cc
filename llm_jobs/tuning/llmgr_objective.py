"""LLMGR's two stages as tuning objectives, and both at once as the control of having two.

    stage 1    -log softmax(W_o h)_v over the candidates that a title is offered with, v the title's item
    stage 2    -log softmax(W_o h)_v over the whole catalogue, v what came next in the session

(h as `llm_jobs.tuning.hybrid_model` standardises it.)
LLMGR (arXiv 2402.16539): cross-entropy and one output layer for both. The paper does not say whether stage 1
looks at the whole catalogue; all that is no candidate is masked here, our reconstruction. x and Z are frozen
in both stages. Letters: b examples of a batch, c candidates, h hidden size, d dimensions of x and Z, I items.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from llm_jobs.tuning.config import Examples
from llm_jobs.tuning.hybrid_input import HybridTokens, Part
from llm_jobs.tuning.hybrid_model import HybridDecoder, HybridEnds
from llm_jobs.tuning.llmgr_config import LlmgrConfig
from llm_jobs.tuning.llmgr_examples import SessionExamples, TitleExamples
from llm_jobs.tuning.llmgr_prompts import alignment_prompt, behaviour_prompt, words_prompt
from recommender.data import IntArray
from recommender.training.full_softmax import catalogue_cross_entropy


@dataclass(frozen=True)
class Reading:
    """What prompts are made with.

    Attributes:
        tokens: Makes inputs.
        nodes: (I, d) float32 x, frozen.
        sessions: (s, d) float32 Z, one for each example of sessions, frozen; no rows without graphs.
        titles: Title of each of I items, for prompts in words alone; None for prompts of nodes.
    """

    tokens: HybridTokens
    nodes: torch.Tensor
    sessions: torch.Tensor
    titles: Sequence[str] | None = None

    def session_prompt(self, examples: SessionExamples, number: int) -> list[Part]:
        """Stage 2's prompt of one example."""
        if self.titles is not None:
            return words_prompt([self.titles[item] for item in reversed(examples.clicks(number))])
        return behaviour_prompt(examples.clicks(number), number if len(self.sessions) else None)

    def states(self, model: HybridDecoder, ends: HybridEnds, prompts: list[list[Part]]) -> torch.Tensor:
        """(b, h) float32 states of some prompts, as the decoder leaves them."""
        inputs = [self.tokens.input(parts) for parts in prompts]
        return model(inputs, ends.place(inputs, self.nodes, self.sessions))


class TitleStage(torch.nn.Module):
    """Stage 1; an `llm_jobs.tuning.objective.Objective` for a `HybridDecoder`.

    Args:
        examples: Titles.
        reading: Makes prompts.
        ends: Learns.
    """

    def __init__(self, examples: TitleExamples, reading: Reading, ends: HybridEnds) -> None:
        super().__init__()
        self.ends = ends
        self._examples, self._reading = examples, reading

    @property
    def num_examples(self) -> int:
        """See `Objective.num_examples`."""
        return len(self._examples)

    def states(self, model: HybridDecoder, examples: Examples) -> torch.Tensor:
        """(b, h) states of some examples, as the decoder leaves them."""
        found = self._examples
        prompts = [
            alignment_prompt(found.candidates(number)[0].tolist(), found.titles[number])
            for number in examples.tolist()
        ]
        return self._reading.states(model, self.ends, prompts)

    def answers(self, examples: Examples) -> IntArray:
        """(b,) int64 rows of the right items, in the order of `states`."""
        return self._examples.items[examples]

    def loss(self, model: HybridDecoder, examples: Examples) -> torch.Tensor:
        """See `Objective.loss`."""
        states = self.ends.standard(self.states(model, examples))
        drawn = [self._examples.candidates(number) for number in examples.tolist()]
        offered = torch.from_numpy(np.stack([rows for rows, _ in drawn])).to(states.device)  # (b, c)
        right = torch.tensor([place for _, place in drawn], device=states.device)
        with torch.autocast(states.device.type, enabled=False):
            logits = (self.ends.output[offered] @ states.unsqueeze(2)).squeeze(2)  # (b, c)
            return cross_entropy(logits, right)

    def after_step(self) -> None:
        """See `Objective.after_step`: nothing follows."""


class SessionStage(torch.nn.Module):
    """Stage 2; an `llm_jobs.tuning.objective.Objective` for a `HybridDecoder`.

    Args:
        examples: Sessions.
        reading: Makes prompts; its sessions are those of the examples.
        ends: Learns.
    """

    def __init__(self, examples: SessionExamples, reading: Reading, ends: HybridEnds) -> None:
        super().__init__()
        self.ends = ends
        self._examples, self._reading = examples, reading
        self._targets = torch.from_numpy(examples.targets)

    @property
    def num_examples(self) -> int:
        """See `Objective.num_examples`."""
        return len(self._examples)

    def states(self, model: HybridDecoder, examples: Examples) -> torch.Tensor:
        """(b, h) states of some examples, as the decoder leaves them."""
        prompts = [self._reading.session_prompt(self._examples, number) for number in examples.tolist()]
        return self._reading.states(model, self.ends, prompts)

    def answers(self, examples: Examples) -> IntArray:
        """(b,) int64 rows of what came next, in the order of `states`."""
        return self._examples.targets[examples]

    def loss(self, model: HybridDecoder, examples: Examples) -> torch.Tensor:
        """See `Objective.loss`."""
        states = self.ends.standard(self.states(model, examples))
        targets = self._targets[torch.from_numpy(examples)].to(states.device)
        return catalogue_cross_entropy(states, self.ends.output, targets)

    def after_step(self) -> None:
        """See `Objective.after_step`: nothing follows."""


class JointStage(torch.nn.Module):
    """Titles and sessions in one: an example is a title, or else a session.

    Args:
        titles: Of stage 1.
        sessions: Of stage 2, with the same ends.
    """

    def __init__(self, titles: TitleStage, sessions: SessionStage) -> None:
        super().__init__()
        self.ends = titles.ends
        self._parts = (titles, sessions)

    @property
    def num_examples(self) -> int:
        """See `Objective.num_examples`."""
        return sum(part.num_examples for part in self._parts)

    def states(self, model: HybridDecoder, examples: Examples) -> torch.Tensor:
        """(b, h) states of some examples, titles first."""
        return torch.cat([part.states(model, rows) for part, rows in self._by_part(examples)])

    def answers(self, examples: Examples) -> IntArray:
        """(b,) int64 rows of the right items, in the order of `states`."""
        return np.concatenate([part.answers(rows) for part, rows in self._by_part(examples)])

    def loss(self, model: HybridDecoder, examples: Examples) -> torch.Tensor:
        """See `Objective.loss`: each example weighs the same."""
        losses = [
            part.loss(model, rows) * (len(rows) / len(examples)) for part, rows in self._by_part(examples)
        ]
        return torch.stack(losses).sum()

    def after_step(self) -> None:
        """See `Objective.after_step`: nothing follows."""

    def _by_part(self, examples: Examples) -> Iterator[tuple[TitleStage | SessionStage, Examples]]:
        """The stages that have some of the examples, with these."""
        titles, sessions = self._parts
        first = titles.num_examples
        mine = examples[examples < first], examples[examples >= first] - first
        yield from ((part, rows) for part, rows in zip((titles, sessions), mine, strict=True) if len(rows))


@torch.no_grad()
def measure_states(
    model: HybridDecoder,
    objective: TitleStage | SessionStage | JointStage,
    config: LlmgrConfig,
    nodes: torch.Tensor,
) -> None:
    """Give the objective's ends m and s of its prompts, and W_o if it is to fit them, before all tuning.

    Cost: ``num_measured`` prompts, spread over all, go through the decoder once.

    Args:
        model: The decoder.
        objective: Of the stage.
        config: Says how W_o begins.
        nodes: (I, d) float32 x.

    Raises:
        InputError: If all prompts have the same state.
    """
    num_examples, size = objective.num_examples, config.batch_size
    measured = min(num_examples, config.num_measured)
    chosen = np.unique(np.linspace(0, num_examples - 1, measured).astype(np.int64))
    batches = [chosen[start : start + size] for start in range(0, len(chosen), size)]
    if not batches:
        return
    states = torch.cat([objective.states(model, batch) for batch in batches])
    objective.ends.measure(states)
    if config.first_output == "probe":
        answers = np.concatenate([objective.answers(batch) for batch in batches])
        objective.ends.fit_output(states, nodes.to(states.device), torch.from_numpy(answers))
