"""One question of a prompt, the answer it asks for, and what the answer is checked for."""

from typing import Any

from pydantic import Field, model_validator

from featurestore.spec import Frozen, Name
from llm_jobs.answer_schema import schema_problems, worst_case_tokens
from llm_jobs.text_checks import Checks


class Stage(Frozen):
    """One question and the answer it asks for.

    A stage that ``condenses`` a field is asked about that field alone, in a conversation of its own, and only
    if the field is long. The text of its answer stands for the field in all later stages.
    """

    name: Name
    template: str = Field(min_length=1)
    """Jinja text of the question; may read entity fields."""
    output_schema: dict[str, Any]
    """Bounded JSON schema of the answer (see `llm_jobs.answer_schema`)."""
    text_fields: tuple[str, ...] = Field(min_length=1)
    """Fields of the answer that make up the stored text, in order."""
    quotes: tuple[str, ...] = ()
    """Paths of strings that must occur in the entity's data, such as ``CoT.quote``."""
    checks: Checks = Checks()
    """What the stored text is checked for."""
    max_tokens: int = Field(default=0, ge=0)
    """Tokens of the answer at most, without reasoning; the schema's worst case if the file names none."""
    upstream: tuple[str, ...] = ()
    """Earlier stages whose questions and answers come before this one in the conversation."""
    condenses: str | None = None
    """Field that this stage condenses, if it does."""
    longer_than: int = Field(default=0, ge=0)
    """Tokens, as `llm_jobs.token_estimate` counts them, from which on the field is condensed."""

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
        problems = [*self._schema_problems(), *self._condensing_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _schema_problems(self) -> list[str]:
        problems = schema_problems(self.output_schema)
        if self.output_schema.get("type") != "object":
            problems.append("output_schema.type must be 'object'")
        if problems:
            return problems
        unknown = [name for name in self.text_fields if name not in self.output_schema["properties"]]
        if unknown:
            known = ", ".join(self.output_schema["properties"])
            problems.append(f"text_fields name {', '.join(unknown)}; the answer has {known}")
        needed = worst_case_tokens(self.output_schema)
        if self.max_tokens < needed:
            problems.append(f"max_tokens is {self.max_tokens}; the longest answer needs {needed}")
        return problems

    def _condensing_problems(self) -> list[str]:
        if self.condenses is None:
            return ["longer_than is for stages that condense a field"] if self.longer_than else []
        problems: list[str] = []
        if not self.longer_than:
            problems.append(f"longer_than must say from how many tokens on {self.condenses!r} is condensed")
        if self.upstream:
            problems.append("a stage that condenses a field is a conversation of its own: it has no upstream")
        return problems
