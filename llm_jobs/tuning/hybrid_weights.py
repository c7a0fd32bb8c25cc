"""Weights of a hybrid decoder as files of an adapter, and back: LoRA and ends, or all weights and ends."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import torch

from featurestore.adapters import Adapter
from featurestore.errors import EmbeddingSpaceError, StoreError, UsageError
from llm_jobs.tuning.base_model import BaseModel
from llm_jobs.tuning.hybrid_model import HybridDecoder, HybridEnds
from llm_jobs.tuning.llmgr_config import LlmgrConfig
from llm_jobs.tuning.lora import adapter_files, attach_adapter, attach_stored, require_peft

ENDS_FILE: Final = "ends.safetensors"
_ALL_WEIGHTS: Final = "decoder.safetensors"
_SHAPE: Final = ("weights", "lora_rank", "lora_alpha", "lora_dropout", "target_modules")
"""Settings that an adapter that is gone on with must have in common with the config."""


@dataclasses.dataclass(frozen=True)
class Start:
    """What tuning begins with.

    Attributes:
        model: The decoder, everything that learns new or from an adapter.
        ends: New, or from an adapter.
    """

    model: HybridDecoder
    ends: HybridEnds


def begin(
    base: BaseModel,
    nodes: torch.Tensor,
    config: LlmgrConfig,
    *,
    seed: int,
    adapter: Adapter | None = None,
    same_nodes: bool = True,
) -> Start:
    """A decoder that learns.

    Args:
        base: A fresh base model.
        nodes: (I, d) x.
        config: Says what learns, and whether W_o begins as noise: where sessions are in words alone.
        seed: Of new weights.
        adapter: Tuned before, on the same base; None begins anew.
        same_nodes: Whether x is what the adapter was tuned with: W_p and W_g are new if not.

    Raises:
        UsageError: If the adapter has another shape than the config says, or was tuned on another catalogue.
        EmbeddingSpaceError: If it was tuned on another base.
        StoreError: If its files do not fit the base.
        UnknownNameError: If the base has no such target module.
        SetupError: If peft is absent, and needed.
    """
    if adapter is None:
        model = HybridDecoder(_everything(base.network, config, seed))
        first = "noise" if config.sessions == "titles" else "nodes"
        return Start(model, HybridEnds(nodes, model.words.detach(), seed=seed, first_output=first))
    _require_shape(adapter, config)
    return resume(base, nodes, adapter, same_nodes=same_nodes, seed=seed)


def resume(
    base: BaseModel, nodes: torch.Tensor, adapter: Adapter, *, same_nodes: bool = True, seed: int = 0
) -> Start:
    """A decoder as an adapter left it; see `begin`."""
    from safetensors.torch import load

    require_base(base, adapter)
    if _ALL_WEIGHTS in adapter.files:
        network = _load_all(base.network, load(adapter.files[_ALL_WEIGHTS]))
    else:
        require_peft()
        network = attach_stored(base.network, adapter.files)
    model = HybridDecoder(network)
    tensors = load(adapter.files[ENDS_FILE])
    _require_catalogue(tensors, nodes)
    ends = HybridEnds(nodes, model.words.detach(), seed=seed)
    ends.load(tensors, maps=same_nodes)
    return Start(model, ends)


def hybrid_files(model: HybridDecoder, ends: HybridEnds, config: LlmgrConfig) -> dict[str, bytes]:
    """All that `resume` needs beside the base model."""
    from safetensors.torch import save

    files = {ENDS_FILE: save(ends.tensors())}
    if config.weights == "lora":
        return {**adapter_files(model.network), **files}
    weights = {name: weight.detach().cpu().contiguous() for name, weight in model.network.named_parameters()}
    return {_ALL_WEIGHTS: save(weights), **files}


def require_base(base: BaseModel, adapter: Adapter) -> None:
    """Refuse an adapter of another base model.

    Raises:
        EmbeddingSpaceError: Naming both.
    """
    tuned_on = adapter.encoder_base
    if tuned_on.digest != base.spec.digest:
        raise EmbeddingSpaceError(
            f"the adapter {adapter.digest[:16]} was tuned on {tuned_on.name!r} ({tuned_on.model}, "
            f"{tuned_on.max_tokens} tokens, {tuned_on.dtype}), not on {base.spec.name!r} ({base.spec.model}, "
            f"{base.spec.max_tokens} tokens, {base.spec.dtype}).",
            hint="Name the encoder that it was tuned on, with its settings, or tune again.",
        )


def _everything(network: Any, config: LlmgrConfig, seed: int) -> Any:  # noqa: ANN401 - types of transformers
    if config.weights == "lora":
        return attach_adapter(network, config, seed=seed)
    for weight in network.parameters():
        weight.requires_grad_(True)
    return network.eval()


def _load_all(network: Any, weights: Mapping[str, torch.Tensor]) -> Any:  # noqa: ANN401 - types of transformers
    own = dict(network.named_parameters())
    if own.keys() != weights.keys():
        raise StoreError(
            f"the adapter does not fit the base model: {len(own.keys() ^ weights.keys())} weights have no "
            "counterpart.",
            hint="Name the encoder that it was tuned on, or tune again.",
        )
    with torch.no_grad():
        for name, weight in own.items():
            weight.copy_(weights[name])
            weight.requires_grad_(True)
    return network.eval()


def _require_shape(adapter: Adapter, config: LlmgrConfig) -> None:
    wanted, stored = config.model_dump(mode="json"), adapter.origin.settings
    different = [
        f"{name}={wanted[name]}, not {stored.get(name)}"
        for name in _SHAPE
        if wanted[name] != stored.get(name)
    ]
    if different:
        raise UsageError(
            f"the adapter {adapter.digest[:16]} was tuned with other settings: {'; '.join(different)}.",
            hint="Go on with the settings that it was tuned with, or tune the first stage again.",
        )


def _require_catalogue(tensors: Mapping[str, torch.Tensor], nodes: torch.Tensor) -> None:
    if len(tensors["output"]) != len(nodes):
        raise UsageError(
            f"the adapter was tuned on a catalogue of {len(tensors['output']):,} items; the release has "
            f"{len(nodes):,}.",
            hint="Name the release that it was tuned on, or tune again.",
        )
