"""Recommendation chains to learn from: a prompt's questions, and answers of a teacher that passed checks.

LGHRec (arXiv 2505.12396) tunes on a "recommendation-CoT set" and tells no more: ours are the stored answers
of the same prompt, valid JSON with every quoted span found in the input (our reconstruction). An answer
counts if its inputs are what they were when it was given, and if it passes the checks as they are now.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from featurestore import columns as c
from featurestore.errors import InputError, UsageError
from featurestore.ids import ExternalId, digest, digest_texts
from featurestore.point_in_time import event_sets_along
from featurestore.reader import Release
from featurestore.release import TablePin
from featurestore.spec import TextSpec
from featurestore.store import Store
from llm_jobs.answer_schema import answer_json
from llm_jobs.engine import Message
from llm_jobs.entity_fields import entity_fields
from llm_jobs.inputs import EntityInputs, load_inputs
from llm_jobs.parse import ParseFailure, parse_answer
from llm_jobs.prompt import EVENTS, Prompt
from llm_jobs.render import NOTHING_CONDENSED, conversation, source_text
from llm_jobs.specs import answer_digest, input_digest, row_fingerprint
from llm_jobs.stage import Stage

OUTDATED = "outdated"
"""Why an answer is left out whose inputs, or upstream answers, are others by now."""


@dataclass(frozen=True, slots=True)
class ChainExample:
    """One question, and the answer to learn.

    Attributes:
        entity_id: Whom it is about.
        stage: What was asked.
        messages: The conversation, ending with the question.
        answer: The teacher's, as JSON in the order of the schema.
        source: What its quotes are looked up in.
    """

    entity_id: ExternalId
    stage: Stage
    messages: tuple[Message, ...]
    answer: str
    source: str


@dataclass(frozen=True)
class ChainSet:
    """All examples of a text feature, by ascending id, the stages of an entity in the prompt's order.

    Attributes:
        prompt: That asked.
        specs: Of the texts, by view.
        examples: What can be learned from.
        left_out: Why stored answers cannot: reason → rows.
        event_sets: All event sets that the texts read.
    """

    prompt: Prompt
    specs: Mapping[str, TextSpec]
    examples: tuple[ChainExample, ...]
    left_out: Mapping[str, int]
    event_sets: tuple[str, ...]

    @property
    def identity(self) -> str:
        """Digest of all that may be learned from."""
        parts = ([*(m.content for m in each.messages), each.answer] for each in self.examples)
        return digest([digest_texts(part) for part in parts])


def read_chains(store: Store, release: Release, prompt: Prompt, name: str) -> ChainSet:
    """The examples that a text feature holds.

    Args:
        store: The release's store, whose source tables the prompt is rendered from.
        release: An opened release, whose answers are read.
        prompt: The prompt that asked, with its limits applied.
        name: Text feature, for all its stages, or one view of it: ``item_semantic_id``, ``item_cot.fused``.

    Raises:
        UnknownNameError: If the release has no such text feature or view; lists those there are.
        UsageError: If no prompt asked for the texts, or the prompt is another by now.
        LeakError: If the texts read held-out events.
        InputError: If no answer can be learned from.
    """
    feature, pins = name.partition(".")[0], text_pins(release, name)
    specs = {spec.view: _asked(spec, prompt) for spec in (pin.spec for pin in pins)}
    reader = _Reader(prompt, specs, load_inputs(store, prompt), release)
    left_out: Counter[str] = Counter()
    found: list[ChainExample] = []
    for outcome in reader.outcomes():
        if isinstance(outcome, ChainExample):
            found.append(outcome)
        else:
            left_out[outcome] += 1
    if not found:
        why = ", ".join(f"{reason} {count}" for reason, count in sorted(left_out.items())) or "none is stored"
        raise InputError(
            f"text feature {name!r} of release {release.number} has no answer to learn from ({why}).",
            hint=f"Bring it up to date with `featurestore generate --prompt {feature}`, then publish.",
        )
    events = {each for pin in pins for each in event_sets_along(release.manifest, pin)}
    return ChainSet(prompt, specs, tuple(found), dict(left_out), tuple(sorted(events)))


def text_pins(release: Release, name: str) -> list[TablePin]:
    """What a release pins of a text feature: one view if ``name`` has one, else all.

    Raises:
        UnknownNameError: If the release has no such text feature or view; lists those there are.
    """
    feature, _, view = name.partition(".")
    if view:
        return [release.pin("text", feature, view)]
    pins = [pin for pin in release.features("text") if pin.spec.feature == feature]
    return pins or [release.pin("text", feature)]


def _asked(spec: object, prompt: Prompt) -> TextSpec:
    """The spec of texts that the prompt asks for as it is now."""
    if not isinstance(spec, TextSpec):
        raise UsageError(
            f"text feature {prompt.name!r} holds no answers: no prompt asked for it.",
            hint="Name a feature that `featurestore generate` wrote, such as item_semantic_id.",
        )
    if prompt.stage_digest(prompt.stage(spec.view)) != spec.prompt_digest:
        raise UsageError(
            f"the texts {spec.feature}.{spec.view} were asked for by another version of the prompt.",
            hint="Generate them anew and publish, or bring the prompt and its limits back as they were.",
        )
    return spec


class _Reader:
    """Puts questions and stored answers together, entity by entity."""

    def __init__(
        self, prompt: Prompt, specs: Mapping[str, TextSpec], inputs: EntityInputs, release: Release
    ) -> None:
        self._prompt = prompt
        self._specs = specs
        self._inputs = inputs
        self._release = release
        self._answers: dict[str, dict[str, dict[str, str]]] = {}

    def outcomes(self) -> Iterator[ChainExample | str]:
        """An example of each stored answer, or why there is none."""
        stages = [stage for stage in self._prompt.stages if stage.name in self._specs]
        for position, entity_id in enumerate(self._inputs.ids):
            asked = [stage for stage in stages if self._was_asked(stage, entity_id)]
            shown = self._shown(position) if asked else {}
            yield from (self._outcome(stage, position, shown) for stage in asked)

    def _was_asked(self, stage: Stage, entity_id: ExternalId) -> bool:
        """Whether there is an answer that a model gave: a short field is condensed without one."""
        row = self._stored(stage.name).get(entity_id)
        return row is not None and row[c.ANSWER] != NOTHING_CONDENSED

    def _stored(self, view: str) -> dict[str, dict[str, str]]:
        """Answer and fingerprint of each entity."""
        if view not in self._answers:
            table = self._release.texts(self._prompt.name, view).select(c.ID, c.ANSWER, c.FINGERPRINT)
            self._answers[view] = {row[c.ID]: row for row in table.iter_rows(named=True)}
        return self._answers[view]

    def _shown(self, position: int) -> dict[str, Any]:
        """The fields of an entity as the model sees them."""
        history = self._inputs.history(position)
        shown = entity_fields(self._prompt, self._inputs.fields(position)).fields
        return shown | {EVENTS: history.events} if history is not None else shown

    def _outcome(self, stage: Stage, position: int, shown: Mapping[str, Any]) -> ChainExample | str:
        entity_id, spec = self._inputs.ids[position], self._specs[stage.name]
        row = self._stored(stage.name)[entity_id]
        given = self._upstream(spec, entity_id)
        own = input_digest(self._inputs.fields(position), spec.reads, self._inputs.events_digest(position))
        if row[c.FINGERPRINT] != row_fingerprint(own, [answer_digest(each) for each in given.values()]):
            return OUTDATED
        source = source_text(self._prompt, stage, shown, given)
        text = answer_json(json.loads(row[c.ANSWER]), stage.output_schema)
        parsed = parse_answer(text, stage, source_text=source, system=self._prompt.system)
        if isinstance(parsed, ParseFailure):
            return parsed.reason
        messages = conversation(self._prompt, stage, shown, given)
        return ChainExample(entity_id, stage, messages, text, source)

    def _upstream(self, spec: TextSpec, entity_id: ExternalId) -> dict[str, str]:
        """Answers of the prompt's own stages that one builds on; failed ones are absent."""
        views = [name for name in spec.upstream if name in {stage.name for stage in self._prompt.stages}]
        found = {view: self._stored(view).get(entity_id, {}).get(c.ANSWER) for view in views}
        return {view: answer for view, answer in found.items() if answer is not None}
