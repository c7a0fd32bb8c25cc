"""A prompt: a frozen value read from one TOML file, checked as a whole before anything runs.

A prompt is a chain of *stages* over one kind of entity. The first turn of a conversation carries the entity's
data; each turn ends with what its answer must look like. A stage's digest covers every word that its
conversation holds besides the data and the earlier answers, so a new wording of the last question re-runs the
last stage only.
"""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from featurestore.errors import ConfigError, UnknownNameError, UsageError, own_words
from featurestore.ids import digest
from featurestore.point_in_time import EventSet, feature_name
from featurestore.spec import Entity, Frozen, Name
from llm_jobs.answer_schema import describe_answer, shrink, worst_case_tokens
from llm_jobs.clean import DEFAULT_FIELD_TOKENS
from llm_jobs.personal_data import MASKING_VERSION, USER_WRITTEN_FIELDS
from llm_jobs.stage import Stage
from llm_jobs.template import TEMPLATE_VERSION, variables_of

EVENTS = "events"
"""The template variable that holds a user's history; never an entity field."""
ATTRIBUTES = "attributes"
"""The template variable that holds what other fields say about the entity in words that the model does not
see; derived from the fields that the prompt reads (see `llm_jobs.entity_fields`), never a field itself."""
DERIVED = frozenset({EVENTS, ATTRIBUTES})
DEFAULT_LIMITS = {"description": 600}
"""Tokens of a field that reach the model, unless the prompt says otherwise."""
CONDENSED_BUDGET = 6_000
"""Tokens of a field that reach the stage which condenses it, unless the prompt says otherwise."""


class History(Frozen):
    """The sample of a user's training events that a prompt reads as ``events``, newest first."""

    size: int = Field(ge=1, le=200)
    """Events at most."""
    item_feature: str | None = Field(default=None, pattern=r"^[^.]+\.[^.]+$")
    """Text feature view of the items, such as ``item_cot.fused``, put into each event as ``feature``."""
    fields: tuple[str, ...] = ("title", "brand", "categories")
    """Item columns of each event."""
    events: str = "train"
    """Events to sample from, see `featurestore.point_in_time`; texts of others than the training part have a
    feature of their own."""


class Sample(Frozen):
    """A worked example: tests render it and parse its answers. No model ever sees it."""

    fields: dict[str, Any] = Field(default_factory=dict[str, Any])
    events: tuple[dict[str, Any], ...] = ()
    answers: dict[str, dict[str, Any]]
    """One valid answer per stage."""


class Prompt(Frozen):
    """A chain of stages over one kind of entity."""

    name: Name
    entity: Entity
    description: str
    system: str = Field(min_length=1)
    """System turn of every conversation: plain text."""
    data: str = Field(min_length=1)
    """Jinja text of the entity's data block, which opens the first turn."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    history: History | None = None
    field_tokens: dict[str, int] = Field(default_factory=dict[str, int])
    """Tokens of a field that reach the model (see `llm_jobs.token_estimate`), if not the default."""
    user_written: tuple[str, ...] = USER_WRITTEN_FIELDS
    """Fields that users write, here and in the history: personal data in them is masked."""
    sample: Sample

    @model_validator(mode="after")
    def _check(self) -> "Prompt":
        problems = [*self._stage_problems(), *self._variable_problems(), *self._sample_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def variables(self) -> tuple[str, ...]:
        """Entity fields that any template reads, sorted."""
        return tuple(sorted({name for stage in self.stages for name in self.reads(stage)}))

    @property
    def limits(self) -> dict[str, int]:
        """Tokens of each variable that reach the model; of a condensed field, those its own stage sees."""
        defaults = {name: DEFAULT_LIMITS.get(name, DEFAULT_FIELD_TOKENS) for name in self.variables}
        condensed = {stage.condenses: CONDENSED_BUDGET for stage in self.stages if stage.condenses}
        return defaults | condensed | self.field_tokens

    @property
    def data_fields(self) -> tuple[str, ...]:
        """Entity fields that the data block reads, and with it every question, sorted."""
        return tuple(sorted(variables_of(self.data) - DERIVED))

    @property
    def reads_attributes(self) -> bool:
        """Whether a template reads `ATTRIBUTES`."""
        return any(ATTRIBUTES in variables_of(source) for source in self._sources)

    @property
    def _sources(self) -> tuple[str, ...]:
        return (self.data, *(stage.template for stage in self.stages))

    @property
    def digest(self) -> str:
        """Version of the prompt by content: everything but its name, description and sample."""
        stages = [[s.name, self.stage_digest(s), list(s.text_fields)] for s in self.stages]
        return digest(stages)

    def stage(self, name: str) -> Stage:
        """The stage of that name.

        Raises:
            UnknownNameError: Listing the stages.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise UnknownNameError(f"stage of prompt {self.name}", name, [s.name for s in self.stages])

    def turns(self, stage: Stage) -> tuple[Stage, ...]:
        """The stages of a stage's conversation, in order: those it builds on, then itself."""
        return tuple(s for s in self.stages if s.name in stage.upstream or s.name == stage.name)

    def reads(self, stage: Stage) -> tuple[str, ...]:
        """Entity fields that a stage's conversation reads, sorted; the history is not one of them."""
        if stage.condenses:
            return (stage.condenses,)
        sources = [self.data, *(turn.template for turn in self.turns(stage))]
        names = {name for source in sources for name in variables_of(source)}
        return tuple(sorted(names - DERIVED))

    def condensing(self, stage: Stage) -> dict[str, Stage]:
        """The stages whose texts stand for fields in a stage's conversation, by field."""
        if stage.condenses:
            return {}
        condensed = {s.condenses: s for s in self.stages if s.condenses is not None}
        return {field: s for field, s in condensed.items() if field in self.reads(stage)}

    def stage_digest(self, stage: Stage) -> str:
        """Digest of all that decides a stage's answer besides the entity, earlier answers and the model."""
        limits, masked = self.limits, self._masked(stage)
        return digest(
            {
                "template_version": TEMPLATE_VERSION,
                "entity": self.entity,
                "system": self.system,
                "data": stage.condenses or self.data,
                "turns": [[t.template, describe_answer(t.output_schema)] for t in self.turns(stage)],
                "history": self.history.model_dump(exclude={"events"}) if self.history else None,
                "field_tokens": {name: limits[name] for name in self.reads(stage)},
                "condensed": {field: s.name for field, s in self.condensing(stage).items()},
                "longer_than": stage.longer_than,
                "output_schema": stage.output_schema,
                "quotes": stage.quotes,
                "checks": stage.checks.model_dump(),
                "max_tokens": stage.max_tokens,
            }
            | ({"masked": [MASKING_VERSION, masked]} if masked else {})
        )

    def _masked(self, stage: Stage) -> list[str]:
        """The fields of a stage's conversation, and of its events, in which personal data is masked."""
        events = self.history.fields if self.history else ()
        return sorted({*self.reads(stage), *events} & set(self.user_written))

    def with_user_written(self, fields: tuple[str, ...]) -> "Prompt":
        """This prompt, with personal data masked in exactly these fields."""
        return self.model_copy(update={"user_written": fields})

    def with_events(self, events: EventSet) -> "Prompt":
        """This prompt over other events: a feature of its own, for the text is of other events too.

        Raises:
            UsageError: If the prompt reads no events.
        """
        if self.history is None:
            raise UsageError(f"prompt {self.name!r} reads no events.", hint="Leave out --events.")
        said = events.name if events.until is not None else "+".join(events.parts)
        history = self.history.model_copy(update={"events": said})
        return self.model_copy(update={"name": feature_name(self.name, events), "history": history})

    def with_limits(self, max_field_chars: int | None = None, history_size: int | None = None) -> "Prompt":
        """This prompt with shorter answers or histories; limits only ever shrink.

        Args:
            max_field_chars: Characters of every string of every answer, at most.
            history_size: Events of a user's history, at most.
        """
        changes: dict[str, Any] = {}
        if max_field_chars is not None:
            changes["stages"] = tuple(_shrunk(stage, max_field_chars) for stage in self.stages)
        if history_size is not None and self.history is not None:
            size = min(history_size, self.history.size)
            changes["history"] = self.history.model_copy(update={"size": size})
        return self.model_copy(update=changes)

    def _stage_problems(self) -> list[str]:
        problems: list[str] = []
        seen: dict[str, Stage] = {}
        for stage in self.stages:
            if stage.name in seen:
                problems.append(f"two stages are called {stage.name!r}")
            for name in stage.upstream:
                if name not in seen:
                    problems.append(f"stage {stage.name!r} reads {name!r}, which is no earlier stage")
                elif missing := set(seen[name].upstream) - set(stage.upstream):
                    needed = ", ".join(sorted(missing))
                    problems.append(f"stage {stage.name!r} reads {name!r} and must list {needed} too")
            seen[stage.name] = stage
        return problems + self._condensing_problems()

    def _condensing_problems(self) -> list[str]:
        problems: list[str] = []
        for position, stage in enumerate(self.stages):
            field = stage.condenses
            if field is None:
                continue
            where = f"stage {stage.name!r} condenses {field!r}"
            if any(s.condenses in (None, field) for s in self.stages[:position]):
                problems.append(f"{where} and must come first, and once")
            if any(stage.name in s.upstream for s in self.stages):
                problems.append(f"{where}: later stages read {field!r}, and do not list it as upstream")
            if field not in variables_of(self.data) or variables_of(stage.template) - {field}:
                problems.append(f"{where}, which the data block must read, and its question alone")
            if stage.longer_than >= self.limits.get(field, 0):
                problems.append(
                    f"{where} and sees {self.limits.get(field, 0)} tokens: longer_than must be less"
                )
        return problems

    def _variable_problems(self) -> list[str]:
        if "{{" in self.system or "{%" in self.system:
            return ["the system text is plain: it cannot read variables"]
        try:
            names = {name for source in self._sources for name in variables_of(source)}
        except UsageError as error:
            return [error.message]
        problems = [
            f"field_tokens names {name!r}, which no template reads" for name in set(self.field_tokens) - names
        ]
        if EVENTS in names and self.history is None:
            problems.append("a template reads events, but there is no [history] section")
        if self.history is not None and self.entity != "user":
            problems.append("[history] is for prompts over users")
        return problems

    def _sample_problems(self) -> list[str]:
        answered, names = set(self.sample.answers), {stage.name for stage in self.stages}
        problems = [f"sample.answers lacks stage {name!r}" for name in sorted(names - answered)]
        return problems + [f"sample.answers has no stage {name!r}" for name in sorted(answered - names)]


def _shrunk(stage: Stage, max_chars: int) -> Stage:
    schema = shrink(stage.output_schema, max_chars)
    tokens = min(stage.max_tokens, worst_case_tokens(schema))
    return stage.model_copy(update={"output_schema": schema, "max_tokens": tokens})


def parse_prompt(text: str, *, name: str, origin: str) -> Prompt:
    """The prompt that a TOML text describes.

    Args:
        text: Content of the file.
        name: The prompt's name: the file's, without ``.toml``.
        origin: Where the text came from, for messages.

    Raises:
        ConfigError: Listing every problem of the file.
    """
    try:
        return Prompt.model_validate({**tomllib.loads(text), "name": name})
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{origin} is not valid TOML: {error}.") from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'prompt'}: {own_words(e['msg'])}" for e in error.errors()]
        listed = "\n".join(f"  - {line}" for line in lines)
        raise ConfigError(
            f"{origin} is no usable prompt:\n{listed}",
            hint="`featurestore prompts show item_cot` prints one that works.",
        ) from error


def load_prompt(path: Path) -> Prompt:
    """Read a prompt file; its name is the file's name without ``.toml``.

    Raises:
        ConfigError: If the file cannot be read, or is no usable prompt.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the prompt file {path} cannot be read: {error}.") from error
    return parse_prompt(text, name=path.stem, origin=str(path))
