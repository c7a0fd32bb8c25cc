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

from featurestore.errors import ConfigError, UnknownNameError, UsageError
from featurestore.ids import digest
from featurestore.spec import Entity, Frozen, Name
from llm_jobs.answer_schema import describe_answer, schema_problems, shrink, worst_case_tokens
from llm_jobs.clean import DEFAULT_FIELD_CHARS
from llm_jobs.template import TEMPLATE_VERSION, variables_of

EVENTS = "events"
"""The template variable that holds a user's history; never an entity field."""
DEFAULT_LIMITS = {"description": 2_400}
"""Characters of a field that reach the model (about four a token), unless the prompt says otherwise."""


class Stage(Frozen):
    """One question and the answer it asks for."""

    name: Name
    template: str = Field(min_length=1)
    """Jinja text of the question; may read entity fields."""
    output_schema: dict[str, Any]
    """Bounded JSON schema of the answer (see `llm_jobs.answer_schema`)."""
    text_fields: tuple[str, ...] = Field(min_length=1)
    """Fields of the answer that make up the stored text, in order."""
    quotes: tuple[str, ...] = ()
    """Paths of strings that must occur in the entity's data, such as ``CoT.quote``."""
    max_tokens: int = Field(default=0, ge=0)
    """Tokens of the answer at most, without reasoning; the schema's worst case if the file names none."""
    upstream: tuple[str, ...] = ()
    """Earlier stages whose questions and answers come before this one in the conversation."""

    @model_validator(mode="before")
    @classmethod
    def _fill_max_tokens(cls, data: Any) -> Any:  # noqa: ANN401 - pydantic hands over whatever it was given
        if not isinstance(data, dict) or data.get("max_tokens"):
            return data
        schema = data.get("output_schema")
        if not isinstance(schema, dict) or schema_problems(schema):
            return data
        return {**data, "max_tokens": worst_case_tokens(schema)}

    @model_validator(mode="after")
    def _check(self) -> "Stage":
        problems = schema_problems(self.output_schema)
        if self.output_schema.get("type") != "object":
            problems.append("output_schema.type must be 'object'")
        if problems:
            raise ValueError("; ".join(problems))
        unknown = [name for name in self.text_fields if name not in self.output_schema["properties"]]
        if unknown:
            known = ", ".join(self.output_schema["properties"])
            raise ValueError(f"text_fields name {', '.join(unknown)}; the answer has {known}")
        needed = worst_case_tokens(self.output_schema)
        if self.max_tokens < needed:
            raise ValueError(f"max_tokens is {self.max_tokens}; the longest answer needs {needed}")
        return self


class History(Frozen):
    """The sample of a user's training events that a prompt reads as ``events``, newest first."""

    size: int = Field(ge=1, le=200)
    """Events at most."""
    item_feature: str | None = Field(default=None, pattern=r"^[^.]+\.[^.]+$")
    """Text feature view of the items, such as ``item_cot.fused``, put into each event as ``feature``."""
    fields: tuple[str, ...] = ("title", "brand", "categories")
    """Item columns of each event."""


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
    field_chars: dict[str, int] = Field(default_factory=dict[str, int])
    """Characters of a field that reach the model, where the default is not meant."""
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
        """Characters of each variable that reach the model."""
        defaults = {name: DEFAULT_LIMITS.get(name, DEFAULT_FIELD_CHARS) for name in self.variables}
        return defaults | self.field_chars

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
        sources = [self.data, *(turn.template for turn in self.turns(stage))]
        names = {name for source in sources for name in variables_of(source)}
        return tuple(sorted(names - {EVENTS}))

    def stage_digest(self, stage: Stage) -> str:
        """Digest of all that decides a stage's answer besides the entity, earlier answers and the model."""
        limits = self.limits
        return digest(
            {
                "template_version": TEMPLATE_VERSION,
                "entity": self.entity,
                "system": self.system,
                "data": self.data,
                "turns": [[t.template, describe_answer(t.output_schema)] for t in self.turns(stage)],
                "history": self.history.model_dump() if self.history else None,
                "field_chars": {name: limits[name] for name in self.reads(stage)},
                "output_schema": stage.output_schema,
                "quotes": stage.quotes,
                "max_tokens": stage.max_tokens,
            }
        )

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
        return problems

    def _variable_problems(self) -> list[str]:
        if "{{" in self.system or "{%" in self.system:
            return ["the system text is plain: it cannot read variables"]
        try:
            names = {n for s in (self.data, *(t.template for t in self.stages)) for n in variables_of(s)}
        except UsageError as error:
            return [error.message]
        problems = [
            f"field_chars names {n!r}, which no template reads" for n in set(self.field_chars) - names
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
        lines = [f"{'.'.join(str(p) for p in e['loc']) or 'prompt'}: {e['msg']}" for e in error.errors()]
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
