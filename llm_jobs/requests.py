"""From a stage of a chain to the request an engine gets, and the key under which its answer is known."""

from collections.abc import Mapping, Sequence
from typing import Any

from featurestore.ids import digest, digest_texts
from featurestore.spec import TextSpec
from llm_jobs.engine import Completion, Message, Request
from llm_jobs.outcomes import Failure
from llm_jobs.prompt import Prompt
from llm_jobs.render import conversation


class RequestBuilder:
    """Builds the requests of one prompt and one engine.

    Args:
        prompt: The prompt.
        specs: Its stages' specs.
        engine_class: See `llm_jobs.engine.EngineInfo.engine_class`: answers of two classes are never mixed.
    """

    def __init__(self, prompt: Prompt, specs: Sequence[TextSpec], engine_class: str) -> None:
        self._prompt = prompt
        self._specs = specs
        self._contexts = [
            digest([spec.model.model_dump(), spec.sampling.model_dump(), spec.output_schema, engine_class])
            for spec in specs
        ]

    def build(
        self,
        stage_index: int,
        fields: Mapping[str, Any],
        answers: Mapping[str, str],
        *,
        sample_index: int,
        continues: Completion | None,
        rejected: Failure | None = None,
    ) -> Request:
        """The request of one stage.

        Args:
            stage_index: Which stage.
            fields: Cleaned fields of the entity.
            answers: Canonical answers of the stages before, by name.
            sample_index: Answers drawn of this conversation before; another one needs another seed.
            continues: Completion that answers the conversation's last question but one, if this run has it.
            rejected: Why the last answer to this question was not taken: the model is shown both.

        Returns:
            A request; its key covers conversation, model, sampling, schema, engine class and sample index.
        """
        spec, stage = self._specs[stage_index], self._prompt.stages[stage_index]
        messages = conversation(self._prompt, stage, fields, answers)
        if rejected is not None and rejected.problem:
            messages += _complaint(rejected)
            continues = None
        turns = [part for message in messages for part in (message.role, message.content)]
        return Request(
            key=digest_texts([self._contexts[stage_index], str(sample_index), *turns]),
            messages=messages,
            sampling=spec.sampling.model_copy(update={"seed": spec.sampling.seed + sample_index}),
            output_schema=stage.output_schema,
            continues=continues,
            priority=-stage_index,
        )


def _complaint(rejected: Failure) -> tuple[Message, Message]:
    """The rejected answer, and what is wrong with it."""
    return (
        Message("assistant", rejected.answer),
        Message(
            "user",
            f"This answer cannot be used: {rejected.problem.rstrip('.')}. "
            "Answer the last question again, in the form it asks for.",
        ),
    )
