"""Encoder adapters: each implements `llm_jobs.encoder.TextEncoder`, each is opened here by its entry."""

from pathlib import Path

from featurestore.spec import EncoderSpec
from llm_jobs.encoder import TextEncoder
from llm_jobs.encoders.hashing import HashingEncoder
from llm_jobs.entries import EncoderEntry
from llm_jobs.model_folder import adapter_digest
from llm_jobs.weights import locate_encoder

__all__ = ["encoder_spec", "open_encoder"]


def encoder_spec(entry: EncoderEntry, *, repo: str | None = None, revision: str | None = None) -> EncoderSpec:
    """Identity of an entry's embedding space.

    Args:
        entry: The encoder.
        repo: Where the weights really came from, if not from the entry's own hub repository.
        revision: Their commit, or the package that carried them.

    Raises:
        SetupError: If the entry names an adapter that is not complete.
    """
    return EncoderSpec(
        name=entry.alias,
        model=repo or entry.model,
        revision=revision or entry.revision,
        pooling=entry.pooling,
        normalized=entry.normalize,
        embedding_dim=entry.embedding_dim,
        dtype=entry.dtype,
        max_tokens=entry.max_tokens,
        instruction=entry.instruction,
        pooling_token=entry.pooling_token,
        adapter=adapter_digest(Path(entry.adapter)) if entry.adapter is not None else None,
    )


def open_encoder(entry: EncoderEntry, *, batch_size: int = 64) -> TextEncoder:
    """The encoder of an entry, ready to encode; close it with ``contextlib.closing``.

    Args:
        entry: What to open; see `llm_jobs.models.find_encoder`.
        batch_size: Texts that go through the model together; changes speed and memory only.

    Raises:
        SetupError: If the weights or the library are not there, or do not fit the entry.
    """
    if entry.encoder == "hashing":
        return HashingEncoder(encoder_spec(entry))
    source = locate_encoder(entry)
    adapter = Path(entry.adapter) if entry.adapter is not None else None
    spec = encoder_spec(entry, repo=source.repo, revision=source.revision)
    match entry.encoder:
        case "sentence":
            from llm_jobs.encoders.sentence_encoder import SentenceEncoder

            return SentenceEncoder(source.folder, spec, adapter=adapter, batch_size=batch_size)
        case "hidden_state":
            from llm_jobs.encoders.hidden_state import HiddenStateEncoder

            return HiddenStateEncoder(source.folder, spec, adapter=adapter, batch_size=batch_size)
        case "vllm_pooling":
            from llm_jobs.encoders.vllm_pooling import VllmPoolingEncoder

            return VllmPoolingEncoder(source.folder, spec, batch_size=batch_size)
