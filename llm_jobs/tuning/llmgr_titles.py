"""t_v: what a decoder that was aligned with nodes says of an item by its title alone.

LLMGR's own ranker is the decoder, which nobody can ask online. Our reconstruction (its paper has none): t_v
is h of stage 1's prompt without candidates, standardised as W_o reads it, and stored like any vector. Items
without events have one too.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from featurestore.adapters import Adapter, load_adapter
from featurestore.errors import UsageError
from featurestore.features import FeatureRegistry
from featurestore.names import require_name
from featurestore.point_in_time import joined_event_set
from featurestore.progress import Progress, no_progress
from featurestore.spec import EncoderSpec, VectorSpec, table_name
from featurestore.store import Store
from llm_jobs.entries import EncoderEntry
from llm_jobs.tuning.aligned_texts import SideTexts, newest_texts, require_current_events
from llm_jobs.tuning.base_model import load_base
from llm_jobs.tuning.config import TuningConfig
from llm_jobs.tuning.hybrid_input import HybridTokens, load_hybrid_tokens
from llm_jobs.tuning.hybrid_model import HybridDecoder, HybridEnds, read_states
from llm_jobs.tuning.hybrid_weights import ENDS_FILE, Start, resume
from llm_jobs.tuning.llmgr_config import CONFIGS, LlmgrConfig, Stage
from llm_jobs.tuning.llmgr_job import JOB, Tuned
from llm_jobs.tuning.llmgr_prompts import TITLE_PROMPT, title_prompt
from llm_jobs.tuning.recmind_adapters import StoredSide
from llm_jobs.tuning.vector_rows import write_vectors

_BATCH_SIZE: Final = 64


class TitleEncoder:
    """Titles to vectors t_v, as `llm_jobs.encoder.TextEncoder`.

    Args:
        tokens: Makes inputs.
        model: The tuned decoder.
        ends: Not read: the prompt has no places.
        spec: What the vectors are.
    """

    def __init__(
        self, tokens: HybridTokens, model: HybridDecoder, ends: HybridEnds, *, spec: EncoderSpec
    ) -> None:
        self._tokens, self._model, self._ends = tokens, model, ends
        self._spec = spec

    @property
    def spec(self) -> EncoderSpec:
        """See `TextEncoder.spec`."""
        return self._spec

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See `TextEncoder.encode`. Texts of like length share a batch, so give many at once."""
        if not texts:
            return np.zeros((0, self._spec.embedding_dim), np.float32)
        inputs = [self._tokens.input(title_prompt(text)) for text in texts]
        nothing = torch.zeros(0, self._ends.node.in_features, device=self._model.words.device)
        return read_states(self._model, self._ends, inputs, (nothing, nothing), batch_size=_BATCH_SIZE)

    def close(self) -> None:
        """See `TextEncoder.close`: whoever loaded the base model keeps it."""


def title_spec(base: EncoderSpec, adapter: str) -> EncoderSpec:
    """The embedding space of t_v."""
    return base.model_copy(
        update={
            "name": f"{base.name}+{JOB}",
            "normalized": False,
            "instruction": TITLE_PROMPT,
            "adapter": adapter,
        }
    )


def title_writer(
    store: Store, name: str, progress: Progress = no_progress
) -> Callable[[Tuned], tuple[StoredSide, ...]]:
    """Stores t_v of all titles when a stage has been tuned: what `tune_llmgr` takes as ``then``."""

    def write(tuned: Tuned) -> tuple[StoredSide, ...]:
        encoder = _encoder(tuned.start, tuned.adapter, tuned.tokens)
        texts, adapter = tuned.found.side.texts, tuned.adapter
        return (_store(store, texts, name, encoder=encoder, adapter=adapter, progress=progress),)

    return write


def apply_titles(
    store: Store,
    items: str,
    *,
    name: str,
    entry: EncoderEntry,
    adapter: str,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> tuple[str, StoredSide]:
    """Store t_v of titles that came or changed since an adapter was tuned; nothing is tuned.

    Reads the newest texts, as embedding does.

    Args:
        store: Holds adapter and texts.
        items: Text feature of items.
        name: Of the vector feature.
        entry: The base model that the adapter was tuned on.
        adapter: First characters of its digest.
        device: ``cpu`` or ``cuda``.
        progress: Told about rows.

    Returns:
        The adapter's digest, and what was stored.

    Raises:
        UnknownNameError: If the store has no such adapter; lists those there are.
        UsageError: If the name cannot be one or is of a model's own vectors, or the adapter was not tuned on
            titles.
        EmbeddingSpaceError: If it belongs to another base model.
        LeakError: If it learned from the events of another split than the store's, or than the texts.
        SetupError, LockHeldError, StorageFullError: As `tune_llmgr`.
    """
    require_name(name, "a feature")
    FeatureRegistry(store).require_origin("encoder", name, ["item"])
    stored = load_adapter(store.objects, adapter)
    config = stated_config(stored, device)
    require_current_events(store, stored)
    base = load_base(entry, config)
    tokens = load_hybrid_tokens(base.folder, base.spec)
    encoder = _encoder(resume(base, _no_nodes(stored, config), stored), stored, tokens)
    texts = newest_texts(store, "item", items)
    return stored.digest, _store(store, texts, name, encoder=encoder, adapter=stored, progress=progress)


def stated_config(adapter: Adapter, device: str) -> LlmgrConfig:
    """The settings that an adapter was tuned with, for another device.

    Raises:
        UsageError: If it is no adapter of titles.
    """
    settings = dict(adapter.origin.settings)
    stage: Stage | None = settings.pop("stage", None)
    settings.pop("start", None)
    if not adapter.origin.job.startswith(f"{JOB}.") or stage is None or stage == "behaviour":
        raise UsageError(
            f"the adapter {adapter.digest[:16]} is of {adapter.origin.job!r}: it has learned no titles.",
            hint="Name one that `featurestore tune llmgr` made in its stage alignment or joint.",
        )
    return CONFIGS[stage].model_validate(settings | {"device": device})


def _no_nodes(adapter: Adapter, config: TuningConfig) -> torch.Tensor:
    """As many nodes as the adapter knows, all zero: a title's prompt has no place for any."""
    from safetensors.torch import load

    tensors = load(adapter.files[ENDS_FILE])
    shape = len(tensors["output"]), tensors["node.weight"].shape[1]
    return torch.zeros(shape, device=config.device)


def _encoder(start: Start, adapter: Adapter, tokens: HybridTokens) -> TitleEncoder:
    spec = title_spec(adapter.encoder_base, adapter.digest)
    return TitleEncoder(tokens, start.model, start.ends, spec=spec)


def _store(
    store: Store,
    texts: SideTexts,
    name: str,
    *,
    encoder: TitleEncoder,
    adapter: Adapter,
    progress: Progress,
) -> StoredSide:
    spec = VectorSpec(
        feature=name,
        view="item",
        entity="item",
        text_digest=texts.spec.digest,
        encoder=encoder.spec,
        aligned_with=adapter.origin.vectors["item"],
    )
    read = {*texts.event_sets, *([adapter.origin.event_set] if adapter.origin.event_set else [])}
    written = write_vectors(
        store, spec, texts.rows, encoder, event_set=joined_event_set(read), progress=progress
    )
    return StoredSide(spec, table_name(spec), texts.rows.height, written)
