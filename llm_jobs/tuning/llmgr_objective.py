"""LLMGR's two stages as tuning objectives, and both at once as the control of having two.

    stage 1    -log softmax(W_o h)_v over the candidates that a title is offered with, v the title's item
    stage 2    -log softmax(W_o h)_v over the whole catalogue, v what came next in the session

LLMGR (arXiv 2402.16539): cross-entropy and one output layer for both. The paper does not say whether stage 1
looks at the whole catalogue; all that is no candidate is masked here, our reconstruction. x and Z are frozen
in both stages. Letters: b examples of a batch, c candidates, h hidden size, d dimensions of x and Z, I items.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from llm_jobs.tuning.config import Examples
from llm_jobs.tuning.hybrid_input import HybridTokens, Part
from llm_jobs.tuning.hybrid_model import HybridDecoder, HybridEnds
from llm_jobs.tuning.llmgr_examples import SessionExamples, TitleExamples
from llm_jobs.tuning.llmgr_prompts import alignment_prompt, behaviour_prompt
from recommender.full_softmax import catalogue_cross_entropy


@dataclass(frozen=True)
class Reading:
    """What prompts are made with.

    Attributes:
        tokens: Makes inputs.
        nodes: (I, d) float32 x, frozen.
        sessions: (s, d) float32 Z, one for each example of sessions, frozen; no rows without graphs.
    """

    tokens: HybridTokens
    nodes: torch.Tensor
    sessions: torch.Tensor

    def session_prompt(self, examples: SessionExamples, number: int) -> list[Part]:
        """Stage 2's prompt of one example."""
        return behaviour_prompt(examples.clicks(number), number if len(self.sessions) else None)

    def states(self, model: HybridDecoder, ends: HybridEnds, prompts: list[list[Part]]) -> torch.Tensor:
        """(b, h) float32 states of some prompts."""
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

    def loss(self, model: HybridDecoder, examples: Examples) -> torch.Tensor:
        """See `Objective.loss`."""
        drawn = [self._examples.candidates(number) for number in examples.tolist()]
        titles = [self._examples.titles[number] for number in examples.tolist()]
        prompts = [
            alignment_prompt(rows.tolist(), title) for (rows, _), title in zip(drawn, titles, strict=True)
        ]
        states = self._reading.states(model, self.ends, prompts)
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

    def loss(self, model: HybridDecoder, examples: Examples) -> torch.Tensor:
        """See `Objective.loss`."""
        prompts = [self._reading.session_prompt(self._examples, number) for number in examples.tolist()]
        states = self._reading.states(model, self.ends, prompts)
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

    def loss(self, model: HybridDecoder, examples: Examples) -> torch.Tensor:
        """See `Objective.loss`: each example weighs the same."""
        titles, sessions = self._parts
        first = titles.num_examples
        total = torch.zeros((), device=model.words.device)
        for part, rows in (
            (titles, examples[examples < first]),
            (sessions, examples[examples >= first] - first),
        ):
            if len(rows):
                total = total + part.loss(model, rows) * (len(rows) / len(examples))
        return total

    def after_step(self) -> None:
        """See `Objective.after_step`: nothing follows."""
