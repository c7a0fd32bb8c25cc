"""How many tokens a plan takes, from a sample of its conversations and from earlier answers.

Output tokens come from stored rows where there are some, else from a prior: a share of what the model is
allowed to write. Prompt tokens are counted on rendered conversations; the earlier answers in them are stored
ones, or stand-ins that count as long as the prior says. Reasoning is no part of a conversation.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from featurestore.ids import canonical_json
from featurestore.spec import TextSpec
from llm_jobs.engine import Message
from llm_jobs.entity_chain import open_chain
from llm_jobs.past_answers import PastAnswers
from llm_jobs.plan import ChainWork, GenerationPlan
from llm_jobs.prompt import Prompt, Stage
from llm_jobs.render import conversation
from llm_jobs.token_count import TokenCounter

PRIOR_SHARE: Final = 0.5
"""Share of the longest possible output that an answer takes, as long as no answer is known."""
_SAMPLE_SIZE: Final = 128


@dataclass(frozen=True, slots=True)
class StageTokens:
    """Expected tokens of one stage.

    Attributes:
        stage: Its name.
        rows: Rows to write at most.
        requests: Requests, those asked again included.
        prompt: Prompt tokens of all requests.
        cached: Of these, tokens that the engine will have computed before.
        output: Output tokens, reasoning included.
        output_at_most: Output tokens if every answer is as long as it may be.
        basis: What the output is expected from, in words.
    """

    stage: str
    rows: int
    requests: int
    prompt: int
    cached: int
    output: int
    output_at_most: int
    basis: str


@dataclass(frozen=True, slots=True)
class TokenEstimate:
    """Expected tokens of a plan.

    Attributes:
        stages: Each stage that has rows to write.
        counted_by: How tokens were counted, in words.
        num_sampled: Entities whose conversations were counted.
    """

    stages: tuple[StageTokens, ...] = ()
    counted_by: str = ""
    num_sampled: int = 0

    @property
    def prompt(self) -> int:
        """Prompt tokens."""
        return sum(stage.prompt for stage in self.stages)

    @property
    def cached(self) -> int:
        """Prompt tokens that the engine will have computed before."""
        return sum(stage.cached for stage in self.stages)

    @property
    def output(self) -> int:
        """Output tokens."""
        return sum(stage.output for stage in self.stages)

    @property
    def output_at_most(self) -> int:
        """Output tokens if every answer is as long as it may be."""
        return sum(stage.output_at_most for stage in self.stages)

    @property
    def total(self) -> int:
        """Prompt and output tokens."""
        return self.prompt + self.output


def estimate_tokens(
    prompt: Prompt,
    specs: Sequence[TextSpec],
    plan: GenerationPlan,
    *,
    past: Mapping[str, PastAnswers],
    counter: TokenCounter,
    seed: int,
) -> TokenEstimate:
    """Expected tokens. Renders and counts the conversations of 128 entities at most.

    Rows with identical requests count each for themselves, though they are computed once.

    Args:
        prompt: The prompt, with its limits applied.
        specs: Its stages' specs.
        plan: What is to be done.
        past: What earlier answers tell, by stage; stages without any are absent.
        counter: Counts tokens.
        seed: Chooses the entities.
    """
    if not plan.works:
        return TokenEstimate()
    draw = random.Random(seed)  # noqa: S311 - no secret
    works = draw.sample(plan.works, min(_SAMPLE_SIZE, len(plan.works)))
    sample = _Sample(prompt, specs, plan, past=past, counter=counter, draw=draw)
    for work in works:
        sample.add(work)
    stages = [
        _stage_tokens(
            stage, spec, plan, past.get(stage.name), sample.means(stage, _asked_before(prompt, stage, plan))
        )
        for stage, spec in zip(prompt.stages, specs, strict=True)
        if sum(plan.reasons[stage.name].values())
    ]
    return TokenEstimate(tuple(stages), counter.name, len(works))


def _stage_tokens(
    stage: Stage, spec: TextSpec, plan: GenerationPlan, past: PastAnswers | None, means: "_PromptMeans"
) -> StageTokens:
    rows = sum(plan.reasons[stage.name].values())
    allowed = spec.sampling.max_tokens
    requests, output = float(rows), PRIOR_SHARE * allowed
    basis = f"{PRIOR_SHARE:.0%} of what it may take: no earlier answers"
    cached_share = means.cached_share(past.cached_share if past is not None else None)
    if past is not None:
        requests *= past.asked_share * past.requests_per_row
        output, basis = min(past.output_tokens, allowed), past.basis
    return StageTokens(
        stage=stage.name,
        rows=rows,
        requests=round(requests),
        prompt=round(requests * means.prompt),
        cached=round(requests * means.prompt * cached_share),
        output=round(requests * output),
        output_at_most=round(max(requests, rows) * allowed),
        basis=basis,
    )


def _asked_before(prompt: Prompt, stage: Stage, plan: GenerationPlan) -> float:
    """Share of a stage's rows whose turn before is asked for in this run as well, and so in the cache.

    What makes a turn stale makes those stale that build on it: the rows of the turn before are among ours.
    """
    if not stage.upstream:
        return 1.0
    before = prompt.turns(stage)[-2].name
    return sum(plan.reasons[before].values()) / sum(plan.reasons[stage.name].values())


@dataclass(frozen=True, slots=True)
class _PromptMeans:
    """Prompt tokens of a request of a stage.

    Attributes:
        prompt: All of them.
        repeated: Of these, tokens that repeat an earlier request of the whole chain.
        system: Of these, tokens that every conversation begins with.
        asked_before: See `_asked_before`.
    """

    prompt: float
    repeated: float
    system: float
    asked_before: float

    def cached_share(self, measured: float | None) -> float:
        """Share of the prompt that was computed before, given what was measured where the whole chain ran."""
        if not self.prompt:
            return 0.0
        whole = measured if measured is not None else self.repeated / self.prompt
        alone = min(whole, self.system / self.prompt)
        return self.asked_before * whole + (1.0 - self.asked_before) * alone


class _Sample:
    """Adds up the conversations of sampled entities."""

    def __init__(
        self,
        prompt: Prompt,
        specs: Sequence[TextSpec],
        plan: GenerationPlan,
        *,
        past: Mapping[str, PastAnswers],
        counter: TokenCounter,
        draw: random.Random,
    ) -> None:
        self._prompt, self._specs, self._plan = prompt, specs, plan
        self._past, self._counter, self._draw = past, counter, draw
        self._stand_ins = {name: canonical_json(answer) for name, answer in prompt.sample.answers.items()}
        self._excess = {stage.name: self._stand_in_excess(stage) for stage in prompt.stages}
        self._reasoning = specs[0].model.reasoning_close is not None
        self._system = counter.count([Message("system", prompt.system.strip()), Message("user", "")])
        self._prompts: dict[str, float] = dict.fromkeys(self._stand_ins, 0.0)
        self._repeated: dict[str, float] = dict.fromkeys(self._stand_ins, 0.0)
        self._size = 0

    def add(self, work: ChainWork) -> None:
        """Count the conversations of one entity."""
        self._size += 1
        chain = open_chain(work, self._plan, self._prompt, self._specs)
        answers: dict[str, str] = {}
        longer: dict[str, float] = {}
        counted: dict[tuple[Message, ...], float] = {}
        for index, stage in enumerate(self._prompt.stages):
            messages = conversation(self._prompt, stage, chain.fields, answers)
            extra = sum(longer[name] for name in stage.upstream)
            counted[messages] = self._counter.count(messages) + extra
            self._prompts[stage.name] += counted[messages]
            self._repeated[stage.name] += self._prefix(stage, messages, counted, answers, longer)
            answers[stage.name], longer[stage.name] = self._answer(index, stage.name, work)

    def means(self, stage: Stage, asked_before: float) -> _PromptMeans:
        """Prompt tokens of a request of a stage, and how many of them repeat an earlier request."""
        return _PromptMeans(
            prompt=self._prompts[stage.name] / self._size,
            repeated=self._repeated[stage.name] / self._size,
            system=self._system,
            asked_before=asked_before,
        )

    def _prefix(
        self,
        stage: Stage,
        messages: tuple[Message, ...],
        counted: Mapping[tuple[Message, ...], float],
        answers: Mapping[str, str],
        longer: Mapping[str, float],
    ) -> float:
        """Tokens that an earlier request has in front as well; thoughts cut the prefix before the answer."""
        if not stage.upstream:
            return self._system
        before = counted.get(messages[:-2])
        if before is None:  # the turn before belongs to another conversation
            return self._system
        previous = self._prompt.turns(stage)[-2].name
        own = 0.0 if self._reasoning else self._counter.count_text(answers[previous]) + longer[previous]
        return before + own

    def _answer(self, index: int, name: str, work: ChainWork) -> tuple[str, float]:
        """An answer for the turns behind a stage, and the tokens by which it should be longer than it is."""
        stored = work.stored[index]
        if stored is not None and stored.answer is not None:
            return stored.answer, 0.0
        past = self._past.get(name)
        if past is not None and past.answers:
            return self._draw.choice(past.answers), 0.0
        return self._stand_ins[name], self._excess[name]

    def _stand_in_excess(self, stage: Stage) -> float:
        """Expected tokens of an answer without reasoning, less those of the prompt's own sample answer."""
        return PRIOR_SHARE * stage.max_tokens - self._counter.count_text(self._stand_ins[stage.name])
