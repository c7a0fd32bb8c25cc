"""Drives the chains of a plan through an engine, each entity at its own pace.

A chain asks its next stage as soon as the last answer is there, so that the engine still holds the
conversation's prefix; new entities start only while the engine has room for more requests.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from featurestore import columns as c
from featurestore.spec import TextSpec, table_name
from llm_jobs.clean import clean_fields
from llm_jobs.engine import Completion, LLMEngine, Request
from llm_jobs.outcomes import NO_INPUT, UPSTREAM_FAILED, Answer, Failure, Tally, Verdict, judge, outcome_row
from llm_jobs.plan import ChainWork, GenerationPlan
from llm_jobs.prompt import EVENTS, Prompt
from llm_jobs.render import data_block
from llm_jobs.requests import RequestBuilder
from llm_jobs.specs import answer_digest, input_digest, row_fingerprint

_POLL_SECONDS: Final = 0.2
_STARTS_PER_POLL: Final = 1000
_REMEMBERED: Final = 50_000
"""Answers kept for entities whose request is the same: a few hundred MB at most."""

WriteRow = Callable[[str, Mapping[str, Any]], None]
"""Takes a table's name and a finished row."""


@dataclass(frozen=True, slots=True)
class ChainLimits:
    """When to give up.

    Attributes:
        max_attempts: Requests for one row in one run, the first included.
        skip_budget: Share of the outcomes that may be failures.
        max_in_flight: Requests in flight; None: as many as the engine runs at once.
    """

    max_attempts: int = 2
    skip_budget: float = 0.2
    max_in_flight: int | None = None


@dataclass(slots=True)
class _Chain:
    """One entity on its way through the stages."""

    entity_id: str
    work: ChainWork
    fields: Mapping[str, Any]
    inputs: Mapping[tuple[str, ...], str]
    """Input digest by the fields read."""
    event_set: str | None
    events_digest: str | None
    stage: int = 0
    sample_index: int = 0
    """Answers drawn of this row's conversation so far, earlier runs included."""
    attempts: int = 0
    """Of these, in this run."""
    fingerprint: str = ""
    answers: dict[str, str] = field(default_factory=dict[str, str])
    """Canonical answers by stage name; failed stages have none."""
    last: Completion | None = None
    """What the last answered stage was answered with, if it was asked in this run."""
    last_stage: str = ""

    def pass_on(self, name: str, answer: str | None) -> None:
        """Go to the next stage."""
        if answer is not None:
            self.answers[name] = answer
        self.stage += 1
        self.attempts = 0


class ChainRunner:
    """Runs the chains of one plan.

    Args:
        prompt: The prompt.
        specs: Its stages' specs.
        plan: What to do.
        engine: Who answers. It starts now, if it has not.
        run_id: Goes into every row.
        limits: When to give up.
        write_row: Takes each row as soon as it is finished.
    """

    def __init__(
        self,
        prompt: Prompt,
        specs: Sequence[TextSpec],
        plan: GenerationPlan,
        engine: LLMEngine,
        *,
        run_id: str,
        limits: ChainLimits,
        write_row: WriteRow,
    ) -> None:
        names = {spec.view for spec in specs}
        self._prompt = prompt
        self._specs = specs
        self._tables = [table_name(spec) for spec in specs]
        self._upstream = [[name for name in spec.upstream if name in names] for spec in specs]
        self._turns = [[turn.name for turn in prompt.turns(stage)] for stage in prompt.stages]
        self._plan = plan
        self._engine = engine
        self._engine_class = engine.info.engine_class
        self._run_id = run_id
        self._limits = limits
        self._max_in_flight = limits.max_in_flight or engine.info.concurrency
        self._write_row = write_row
        self._field_limits = prompt.limits
        self._variables = prompt.variables
        self._requests = RequestBuilder(prompt, specs, self._engine_class)
        self._waiting: dict[str, list[_Chain]] = {}
        self._outbox: list[Request] = []
        self._remembered: dict[str, tuple[Completion, Verdict]] = {}
        self.tally = Tally()
        self.num_done = 0
        """Chains that reached their end."""

    def run(self, after_poll: Callable[[], None]) -> None:
        """Run every chain to its end.

        Args:
            after_poll: Called several times a second: to flush, to commit, to report.

        Raises:
            SkipBudgetError: If too many rows fail; requests in flight are given up.
        """
        works = iter(self._plan.works)
        while True:
            started = self._start_chains(works)
            if self._outbox:
                requests, self._outbox = self._outbox, []
                self._engine.submit(requests)
            if not self._waiting and not started:
                return
            for completion in self._engine.poll(_POLL_SECONDS) if self._waiting else ():
                self._receive(completion)
            after_poll()
            self._check_budget()

    def _start_chains(self, works: Iterator[ChainWork]) -> int:
        started = 0
        while len(self._waiting) < self._max_in_flight and started < _STARTS_PER_POLL:
            work = next(works, None)
            if work is None:
                break
            self._advance(self._open(work))
            started += 1
        return started

    def _open(self, work: ChainWork) -> _Chain:
        inputs = self._plan.inputs
        raw = inputs.fields(work.position)
        history = inputs.history(work.position)
        events_digest = history.events_digest if history else None
        read = {name: raw[name] for name in self._variables}
        cleaned, _ = clean_fields(read, self._field_limits)
        return _Chain(
            entity_id=inputs.ids[work.position],
            work=work,
            fields={**cleaned, EVENTS: history.events} if history else cleaned,
            inputs={r: input_digest(raw, r, events_digest) for r in {spec.reads for spec in self._specs}},
            event_set=history.event_set if history else None,
            events_digest=events_digest,
        )

    def _receive(self, completion: Completion) -> None:
        chains = self._waiting.pop(completion.key)
        self.tally.add_request(completion)
        if completion.failure == "aborted":
            return
        verdict = self._judge(chains[0], completion)
        if completion.text is not None:
            self._remember(completion, verdict)
        for chain in chains:
            self._settle(chain, completion, verdict)
            self._advance(chain)

    def _judge(self, chain: _Chain, completion: Completion) -> Verdict:
        stage, model = self._prompt.stages[chain.stage], self._specs[chain.stage].model
        tags = (model.reasoning_open or "", model.reasoning_close) if model.reasoning_close else None
        source_text = data_block(self._prompt, chain.fields) if stage.quotes else None
        return judge(completion, stage, tags, source_text)

    def _remember(self, completion: Completion, verdict: Verdict) -> None:
        if len(self._remembered) >= _REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[completion.key] = (replace(completion, token_ids=()), verdict)

    def _advance(self, chain: _Chain) -> None:
        """Take a chain as far as it goes without the engine, then ask its next question."""
        while chain.stage < len(self._specs):
            if chain.attempts == 0 and self._pass_without_asking(chain):
                continue
            request = self._requests.build(
                chain.stage,
                chain.fields,
                chain.answers,
                sample_index=chain.sample_index,
                continues=chain.last if chain.last_stage in self._turns[chain.stage][-2:-1] else None,
            )
            known = self._remembered.get(request.key)
            if known is None:
                self._ask(request, chain)
                return
            self._settle(chain, *known)
        self.num_done += 1

    def _pass_without_asking(self, chain: _Chain) -> bool:
        """Pass a stage whose stored row is current, or that cannot be asked. False if it has to be asked."""
        spec = self._specs[chain.stage]
        answers = [chain.answers.get(name) for name in self._upstream[chain.stage]]
        digests = [answer_digest(answer) if answer is not None else None for answer in answers]
        chain.fingerprint = row_fingerprint(chain.inputs[spec.reads], digests)
        chain.sample_index = 0
        stored = chain.work.stored[chain.stage]
        if stored is not None and stored.fingerprint == chain.fingerprint:
            if stored.answer is not None or not self._plan.retry_failed:
                chain.pass_on(spec.view, stored.answer)
                return True
            chain.sample_index = stored.attempts
        if not any(chain.fields.values()):
            self._write(chain, None, Failure(NO_INPUT))
        elif None in answers:
            self._write(chain, None, Failure(UPSTREAM_FAILED))
        else:
            return False
        return True

    def _ask(self, request: Request, chain: _Chain) -> None:
        """Submit a request, or wait for the one in flight that is the same."""
        if request.key in self._waiting:
            self._waiting[request.key].append(chain)
            return
        self._waiting[request.key] = [chain]
        self._outbox.append(request)

    def _settle(self, chain: _Chain, completion: Completion, verdict: Verdict) -> None:
        """Write the row of a stage and pass on; or leave the chain at its stage for another attempt."""
        chain.attempts += 1
        chain.sample_index += 1
        if isinstance(verdict, Answer):
            chain.last, chain.last_stage = completion, self._specs[chain.stage].view
        elif verdict.may_pass and chain.attempts < self._limits.max_attempts:
            return
        self._write(chain, completion, verdict)

    def _write(self, chain: _Chain, completion: Completion | None, verdict: Verdict) -> None:
        spec = self._specs[chain.stage]
        known = {
            c.ID: chain.entity_id,
            c.FINGERPRINT: chain.fingerprint,
            c.ATTEMPTS: chain.sample_index,
            c.EVENT_SET: chain.event_set,
            c.EVENTS_DIGEST: chain.events_digest,
            c.ENGINE: self._engine_class if completion else None,
            c.RUN_ID: self._run_id,
        }
        self._write_row(self._tables[chain.stage], outcome_row(known, verdict, completion))
        replaces = chain.work.stored[chain.stage] is not None
        self.tally.add_row(spec.view, verdict, asked=completion is not None, replaces=replaces)
        chain.pass_on(spec.view, verdict.canonical if isinstance(verdict, Answer) else None)

    def _check_budget(self) -> None:
        if self.tally.is_over(self._limits.skip_budget):
            self._engine.abort(list(self._waiting))
            raise self.tally.budget_error(self._limits.skip_budget)
