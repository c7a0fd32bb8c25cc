"""Models of transformers, loaded for batches whose sequences have lengths of their own."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from featurestore.errors import SetupError
from llm_jobs.entries import ModelEntry
from llm_jobs.lora_adapter import merge_into_writer

if TYPE_CHECKING:
    from torch import Tensor

_ATTENTION: Final = "featurestore_grouped"


def load_causal_model(entry: ModelEntry, folder: Path, device: str) -> Any:  # noqa: ANN401 - a type of transformers
    """The model of a folder, in evaluation mode, the entry's adapter merged into its weights.

    Raises:
        SetupError: If transformers cannot load it, the adapter is of another model, or some of its layers
            attend to a window or keep a state: our batches are for layers that attend to the whole
            conversation.
    """
    import torch
    from transformers import AttentionInterface, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    AttentionInterface.register(_ATTENTION, _grouped_attention)
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=getattr(torch, entry.dtype), attn_implementation=_ATTENTION
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise SetupError(
            f"transformers cannot load model {entry.alias!r} from {folder}: {str(error)[:300]}",
            hint="Check the folder's files, or run the model with vLLM or behind a server.",
        ) from error
    others = _other_layers(model.config.get_text_config())
    if others:
        raise SetupError(
            f"model {entry.alias!r} has layers of {', '.join(others)}; the transformers engine runs models "
            "with full attention only.",
            hint='Run it with vLLM, or behind a server with engine = "openai".',
        )
    if entry.adapter is not None:
        model = merge_into_writer(model, Path(entry.adapter))
    return model.to(device).eval()


def _grouped_attention(  # noqa: PLR0917 - called by position
    module: Any,  # noqa: ANN401 - a layer of transformers
    query: "Tensor",
    key: "Tensor",
    value: "Tensor",
    attention_mask: "Tensor",
    scaling: float | None = None,
    **more: Any,  # noqa: ANN401 - what transformers passes to every attention function
) -> "tuple[Tensor, None]":
    """Scaled dot-product attention that does not repeat keys and values for the query heads that share them.

    With one query token a sequence, the heads of a group may stand where its tokens would: on CPU a third of
    the time of a decoding step's attention is saved.

    Args:
        module: The layer.
        query: (sequences, heads, tokens, head dim).
        key: (sequences, key-value heads, columns, head dim).
        value: As ``key``.
        attention_mask: (sequences, 1, tokens, columns) bool.
        scaling: Of the scores; None: the square root's.
        **more: Handed on where prompts are computed.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if query.shape[2] > 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **more)
    count, heads = query.shape[:2]
    groups = query.view(count, key.shape[1], heads // key.shape[1], query.shape[3])
    output = torch.nn.functional.scaled_dot_product_attention(
        groups, key, value, attn_mask=attention_mask, scale=scaling
    )
    return output.reshape(count, 1, heads, value.shape[3]), None


def _other_layers(config: Any) -> list[str]:  # noqa: ANN401 - a config of transformers
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return sorted(kinds - {"full_attention"})


def bytes_per_token(model: Any) -> int:  # noqa: ANN401 - a type of transformers
    """Bytes that one token's keys and values take in all layers."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * heads * head_dim * model.dtype.itemsize


def end_ids(model: Any) -> frozenset[int]:  # noqa: ANN401 - a type of transformers
    """Tokens that end a turn, as the weights' generation config has them."""
    found = model.generation_config.eos_token_id
    return frozenset([found] if isinstance(found, int) else found or [])
