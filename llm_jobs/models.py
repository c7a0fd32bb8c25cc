"""Language models and encoders by name, and what a model is for the specs of its texts."""

from pathlib import Path

from featurestore.ids import digest
from featurestore.spec import ModelSpec
from llm_jobs.aliases import find_encoder, find_model, load_encoders, load_models
from llm_jobs.entries import Draw, EncoderEntry, ModelEntry, Package, ReasoningTags
from llm_jobs.model_folder import adapter_digest
from llm_jobs.weights import locate_tokenizer

__all__ = [
    "Draw",
    "EncoderEntry",
    "ModelEntry",
    "Package",
    "ReasoningTags",
    "find_encoder",
    "find_model",
    "load_encoders",
    "load_models",
    "model_spec",
]

_ECHO_TEMPLATE = "echo"
_SERVER_TEMPLATE = "the server's own"


def model_spec(entry: ModelEntry) -> ModelSpec:
    """Identity of a model for the specs of its texts, without starting an engine.

    Reads the model's config and tokenizer (from the hub a few MB, never the weights).

    Raises:
        SetupError: If neither a folder, nor a package, nor the hub has them, or an adapter is not complete.
    """
    tags = entry.reasoning
    if entry.engine == "echo":
        return ModelSpec(alias=entry.alias, repo=entry.repo, chat_template_digest=digest(_ECHO_TEMPLATE))
    if entry.engine == "openai":
        return _served_spec(entry)
    source = locate_tokenizer(entry)
    return ModelSpec(
        alias=entry.alias,
        repo=source.repo,
        revision=source.revision,
        dtype=entry.dtype,
        quantization=entry.quantization,
        adapter=adapter_digest(Path(entry.adapter)) if entry.adapter else None,
        chat_template_digest=digest([source.chat_template, entry.template_options]),
        reasoning_open=tags.open if tags else None,
        reasoning_close=tags.close if tags else None,
    )


def _served_spec(entry: ModelEntry) -> ModelSpec:
    """What can be known of a model behind a server: its name there, and what the entry states.

    The address is left out: the same model on another machine writes the same texts.
    """
    tags = entry.reasoning
    stated = f"@{entry.revision}" if entry.revision else ""
    return ModelSpec(
        alias=entry.alias,
        repo=entry.repo,
        revision=f"served:{entry.server_model}{stated}",
        quantization=entry.quantization,
        chat_template_digest=digest([_SERVER_TEMPLATE, entry.template_options]),
        reasoning_open=tags.open if tags else None,
        reasoning_close=tags.close if tags else None,
    )
