"""From a prompt and a model to its stages' specs, and from an entity's inputs to a row's fingerprint."""

import json
from collections.abc import Mapping, Sequence

from featurestore.ids import canonical_json, digest, digest_bytes, digest_texts, fingerprint
from featurestore.spec import ModelSpec, TextSpec
from llm_jobs.clean import CLEANER_VERSION
from llm_jobs.entries import ModelEntry
from llm_jobs.parse import PARSER_VERSION
from llm_jobs.prompt import EVENTS, Prompt
from llm_jobs.stage import Stage

_SHORT = 8
_NO_ANSWER = "failed"
"""Stands for the answer of a stage that failed: an answer's digest never looks like this."""


def stage_specs(prompt: Prompt, entry: ModelEntry, model: ModelSpec) -> tuple[TextSpec, ...]:
    """The feature version of each stage, in the prompt's order: feature = prompt, view = stage.

    Args:
        prompt: With its limits applied.
        entry: How the model is sampled.
        model: Which model it is.
    """
    history = prompt.history
    beside = (history.item_feature,) if history and history.item_feature else ()
    return tuple(
        TextSpec(
            feature=prompt.name,
            view=stage.name,
            entity=prompt.entity,
            prompt_digest=prompt.stage_digest(stage),
            reads=prompt.reads(stage),
            upstream=(*stage.upstream, *_condensed_by(prompt, stage), *beside),
            output_schema=stage.output_schema,
            text_fields=stage.text_fields,
            model=model,
            sampling=entry.stage_sampling(stage.max_tokens),
            parser_version=PARSER_VERSION,
            cleaner_version=CLEANER_VERSION,
            history_size=history.size if history else None,
        )
        for stage in prompt.stages
    )


def _condensed_by(prompt: Prompt, stage: Stage) -> list[str]:
    return [source.name for source in prompt.condensing(stage).values()]


def input_digest(fields: Mapping[str, object], reads: Sequence[str], events_digest: str | None) -> str:
    """Digest of what a stage reads of an entity itself: exactly its fields, and its events if it has some."""
    own = fingerprint({name: fields.get(name) for name in reads})
    return digest([own, events_digest]) if events_digest is not None else own


def field_digests(
    fields: Mapping[str, object], reads: Sequence[str], event_marks: Sequence[str] | None
) -> str:
    """A short digest of each input, as JSON by name: which inputs changed can be told from two of these.

    The short digests explain; whether a row is stale is decided by its fingerprint alone.

    Args:
        fields: Of the entity.
        reads: Names of the fields that the stage reads.
        event_marks: A mark of each event read (`llm_jobs.history.UserHistory.marks`); None if it reads none.
    """
    parts: dict[str, str | list[str]] = {
        name: fingerprint({name: fields.get(name)})[:_SHORT] for name in reads
    }
    if event_marks is not None:
        parts[EVENTS] = list(event_marks)
    return canonical_json(parts)


def stored_event_marks(field_digests: str | None) -> tuple[str, ...] | None:
    """The marks of the events that a row read; None if the row does not say."""
    found = json.loads(field_digests).get(EVENTS) if field_digests is not None else None
    return tuple(found) if isinstance(found, list) else None


def changed_fields(stored: str | None, now: str) -> tuple[str, ...]:
    """Names of the inputs in which two results of `field_digests` differ; empty if the first is not known."""
    if stored is None:
        return ()
    before, after = json.loads(stored), json.loads(now)
    return tuple(sorted(name for name in before | after if before.get(name) != after.get(name)))


def answer_digest(canonical: str) -> str:
    """Digest of an answer, by which later stages know whether it changed."""
    return digest_bytes(canonical.encode())


def row_fingerprint(inputs: str, upstream: Sequence[str | None]) -> str:
    """The fingerprint of a row: its input digest, then a digest of the answers it builds on.

    Args:
        inputs: See `input_digest`.
        upstream: Digest of each upstream answer, in the stage's order; None for a failed one.
    """
    if not upstream:
        return inputs
    return f"{inputs}.{digest_texts(answer or _NO_ANSWER for answer in upstream)}"


def same_inputs(row: str, inputs: str) -> bool:
    """Whether a stored fingerprint was taken from these inputs, whatever the upstream answers were."""
    return row.partition(".")[0] == inputs
