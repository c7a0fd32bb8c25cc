"""Encoder adapters: each implements `llm_jobs.encoder.TextEncoder`, each is opened here by its entry."""

from featurestore.spec import EncoderSpec
from llm_jobs.encoder import TextEncoder
from llm_jobs.encoders.hashing import HashingEncoder
from llm_jobs.entries import EncoderEntry
from llm_jobs.weights import locate_encoder

__all__ = ["encoder_spec", "open_encoder"]


def encoder_spec(entry: EncoderEntry, *, repo: str | None = None, revision: str | None = None) -> EncoderSpec:
    """Identity of an entry's embedding space.

    Args:
        entry: The encoder.
        repo: Where the weights really came from, if not from the entry's own hub repository.
        revision: Their commit, or the package that carried them.
    """
    return EncoderSpec(
        name=entry.alias,
        model=repo or entry.model,
        revision=revision or entry.revision,
        pooling=entry.pooling,
        normalized=entry.normalize,
        embedding_dim=entry.embedding_dim,
        max_tokens=entry.max_tokens,
        instruction=entry.instruction,
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
    from llm_jobs.encoders.sentence_encoder import SentenceEncoder

    source = locate_encoder(entry)
    spec = encoder_spec(entry, repo=source.repo, revision=source.revision)
    return SentenceEncoder(source.folder, spec, batch_size=batch_size)
