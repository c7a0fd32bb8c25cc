"""Drives the chains of a plan through an engine, each entity at its own pace.

A chain asks its next stage as soon as the last answer is there, so that the engine still holds the
conversation's prefix; new entities start only while the engine has room for more requests. Entities start in
the order of their data, within a window: neighbours share the longest prefixes.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from featurestore import columns as c
from featurestore.spec import TextSpec, table_name
from llm_jobs.answers import Answers, RecentAnswers, as_completion, known_answer
from llm_jobs.engine import Completion, LLMEngine, Request
from llm_jobs.entity_chain import EntityChain, open_chain
from llm_jobs.outcomes import NO_INPUT, UPSTREAM_FAILED, Answer, Failure, Tally, Verdict, judge, outcome_row
from llm_jobs.plan import GenerationPlan
from llm_jobs.prompt import Prompt
from llm_jobs.render import NOTHING_CONDENSED, data_block, needs_condensing, source_text
from llm_jobs.requests import RequestBuilder
from llm_jobs.specs import answer_digest, row_fingerprint
from llm_jobs.template import ABSENT

_POLL_SECONDS: Final = 0.2
_STARTS_PER_POLL: Final = 1000
_WINDOW: Final = 256
"""Entities that are put into the order of their data at a time: some tenths of a second of cleaning, in which
nothing else is submitted."""

WriteRow = Callable[[str, Mapping[str, Any]], None]
"""Takes a table's name and a finished row."""


@dataclass(frozen=True, slots=True)
class ChainLimits:
    """When to give up.

    Attributes:
        max_attempts: Requests for one row in one run, the first included.
        skip_budget: Share of the outcomes that may be failures.
        max_in_flight: Requests in flight; None: as many as the engine runs at once.
        request_seconds: A request that takes longer is given up: its engine hangs, or drowns.
    """

    max_attempts: int = 2
    skip_budget: float = 0.2
    max_in_flight: int | None = None
    request_seconds: float = 1800.0


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
        answers: What is known already; by default only what this run has asked.
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
        answers: Answers | None = None,
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
        self._answers = answers or RecentAnswers()
        self._requests = RequestBuilder(prompt, specs, self._engine_class)
        self._unstarted = self._in_windows()
        self._waiting: dict[str, list[EntityChain]] = {}
        self._outbox: list[Request] = []
        self._clock: deque[tuple[float, str]] = deque()
        """When each request was submitted, oldest first; answered ones are skipped when their turn comes."""
        self._given_up: set[str] = set()
        self.tally = Tally()
        self.num_done = 0
        """Chains that reached their end."""

    @property
    def num_in_flight(self) -> int:
        """Requests that the engine has and has not answered."""
        return len(self._waiting)

    def run(self, after_poll: Callable[[], None]) -> None:
        """Run every chain to its end.

        Args:
            after_poll: Called several times a second: to flush, to commit, to report.

        Raises:
            SkipBudgetError: If too many rows fail; requests in flight are given up.
        """
        while True:
            started = self._start_chains()
            self._submit()
            if not self._waiting and not started:
                return
            for completion in self._engine.poll(_POLL_SECONDS) if self._waiting else ():
                self._receive(completion)
            self._give_up_the_late()
            after_poll()
            self._check_budget()

    def _in_windows(self) -> Iterator[EntityChain]:
        """The plan's chains; within each window, those whose data begin alike are neighbours."""
        works = iter(self._plan.works)
        while window := list(islice(works, _WINDOW)):
            chains = [open_chain(work, self._plan, self._prompt, self._specs) for work in window]
            yield from sorted(chains, key=lambda chain: data_block(self._prompt, chain.fields))

    def _start_chains(self) -> int:
        started = 0
        while len(self._waiting) < self._max_in_flight and started < _STARTS_PER_POLL:
            chain = next(self._unstarted, None)
            if chain is None:
                break
            self._advance(chain)
            started += 1
        return started

    def _submit(self) -> None:
        requests, self._outbox = self._outbox, []
        if not requests:
            return
        now = time.monotonic()
        self._clock.extend((now, request.key) for request in requests)
        self._engine.submit(requests)

    def _give_up_the_late(self) -> None:
        """Abort requests that take too long; their outcome is `timeout`."""
        late: list[str] = []
        limit = time.monotonic() - self._limits.request_seconds
        while self._clock and self._clock[0][0] <= limit:
            _, key = self._clock.popleft()
            if key in self._waiting:
                late.append(key)
        if late:
            self._given_up.update(late)
            self._engine.abort(late)

    def _receive(self, completion: Completion) -> None:
        chains = self._waiting.pop(completion.key)
        self.tally.add_request(completion)
        if completion.failure == "aborted":
            if completion.key not in self._given_up:
                return
            detail = f"no answer within {self._limits.request_seconds:,.0f} s"
            completion = replace(completion, failure="timeout", detail=detail)
        self._given_up.discard(completion.key)
        verdict = self._judge(chains[0], completion)
        tags = self._reasoning_tags(chains[0])
        if (known := known_answer(completion, tags)) is not None:
            self._answers.add(completion.key, known)
        for chain in chains:
            self._settle(chain, completion, verdict)
            self._advance(chain)

    def _reasoning_tags(self, chain: EntityChain) -> tuple[str, str] | None:
        model = self._specs[chain.stage].model
        return (model.reasoning_open or "", model.reasoning_close) if model.reasoning_close else None

    def _judge(self, chain: EntityChain, completion: Completion) -> Verdict:
        stage = self._prompt.stages[chain.stage]
        return judge(
            completion,
            stage,
            self._reasoning_tags(chain),
            source_text=source_text(self._prompt, stage, chain.fields, chain.answers),
            system=self._prompt.system,
        )

    def _advance(self, chain: EntityChain) -> None:
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
                rejected=chain.rejected,
            )
            known = None if request.key in self._waiting else self._answers.find(request.key)
            if known is None:
                self._ask(request, chain)
                return
            self.tally.reused += 1
            completion = as_completion(request.key, known)
            self._settle(chain, completion, self._judge(chain, completion))
        self.num_done += 1

    def _pass_without_asking(self, chain: EntityChain) -> bool:
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
        elif (field := self._prompt.stages[chain.stage].condenses) and not self._is_long(chain):
            self._write(chain, None, Answer(str(chain.fields[field] or ABSENT), NOTHING_CONDENSED))
        else:
            return False
        return True

    def _is_long(self, chain: EntityChain) -> bool:
        return needs_condensing(self._prompt.stages[chain.stage], chain.fields)

    def _ask(self, request: Request, chain: EntityChain) -> None:
        """Submit a request, or wait for the one in flight that is the same."""
        if request.key in self._waiting:
            self._waiting[request.key].append(chain)
            return
        self._waiting[request.key] = [chain]
        self._outbox.append(request)

    def _settle(self, chain: EntityChain, completion: Completion, verdict: Verdict) -> None:
        """Write the row of a stage and pass on; or leave the chain at its stage for another attempt."""
        chain.attempts += 1
        chain.sample_index += 1
        if isinstance(verdict, Failure) and verdict.may_pass and chain.attempts < self._limits.max_attempts:
            chain.rejected = verdict
            return
        if isinstance(verdict, Answer):
            # What was asked again was asked in another conversation: the chain cannot go on from its tokens.
            asked_once = chain.rejected is None or not chain.rejected.problem
            chain.last, chain.last_stage = completion if asked_once else None, self._specs[chain.stage].view
        self._write(chain, completion, verdict)

    def _write(self, chain: EntityChain, completion: Completion | None, verdict: Verdict) -> None:
        spec = self._specs[chain.stage]
        known = {
            c.ID: chain.entity_id,
            c.FINGERPRINT: chain.fingerprint,
            c.FIELD_DIGESTS: chain.field_digests[spec.reads],
            c.FLAGS: list(chain.flags),
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
