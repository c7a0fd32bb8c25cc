"""One entity on its way through the stages of a prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from featurestore.spec import TextSpec
from llm_jobs.engine import Completion
from llm_jobs.entity_fields import entity_fields
from llm_jobs.outcomes import Failure
from llm_jobs.plan import ChainWork, GenerationPlan
from llm_jobs.prompt import EVENTS, Prompt
from llm_jobs.specs import field_digests, input_digest


@dataclass(slots=True)
class EntityChain:
    """The state of one entity's chain.

    Attributes:
        entity_id: External id.
        work: What the plan says of it.
        fields: Cleaned fields, and the events of a history.
        inputs: Input digest by the fields read.
        field_digests: Short digest of each field read, by name, as JSON, by the fields read.
        flags: What a reader of the texts should know of the inputs.
        event_set: The split part that the events come from.
        events_digest: Digest of the events.
        stage: Index of the stage to be answered.
        sample_index: Answers drawn of this row's conversation so far, earlier runs included.
        attempts: Of these, in this run.
        fingerprint: Of the stage's inputs.
        rejected: The failure that the next request shows the model, if there was one.
        answers: Canonical answers by stage name; failed stages have none.
        last: What the last answered stage was answered with, if the conversation may go on from its tokens.
        last_stage: Which stage that was.
    """

    entity_id: str
    work: ChainWork
    fields: Mapping[str, Any]
    inputs: Mapping[tuple[str, ...], str]
    field_digests: Mapping[tuple[str, ...], str]
    flags: tuple[str, ...]
    event_set: str | None
    events_digest: str | None
    stage: int = 0
    sample_index: int = 0
    attempts: int = 0
    fingerprint: str = ""
    rejected: Failure | None = None
    answers: dict[str, str] = field(default_factory=dict[str, str])
    last: Completion | None = None
    last_stage: str = ""

    def pass_on(self, name: str, answer: str | None) -> None:
        """Go to the next stage."""
        if answer is not None:
            self.answers[name] = answer
        self.stage += 1
        self.attempts = 0
        self.rejected = None


def open_chain(
    work: ChainWork, plan: GenerationPlan, prompt: Prompt, specs: Sequence[TextSpec]
) -> EntityChain:
    """The chain of one entity, before its first stage."""
    inputs = plan.inputs
    fields = inputs.fields(work.position)
    history = inputs.history(work.position)
    events_digest = history.events_digest if history else None
    shown = entity_fields(prompt, fields)
    marks = history.marks if history else None
    reads = {spec.reads for spec in specs}
    return EntityChain(
        entity_id=inputs.ids[work.position],
        work=work,
        fields={**shown.fields, EVENTS: history.events} if history else shown.fields,
        inputs={names: input_digest(fields, names, events_digest) for names in reads},
        field_digests={names: field_digests(fields, names, marks) for names in reads},
        flags=shown.flags,
        event_set=history.event_set if history else None,
        events_digest=events_digest,
    )
