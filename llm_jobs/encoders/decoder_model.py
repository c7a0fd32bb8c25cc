"""Decoders without their output layer, loaded by transformers."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from featurestore.errors import SetupError, missing_extra
from featurestore.spec import EncoderSpec
from llm_jobs.lora_adapter import merge_adapter


def load_decoder(folder: Path, spec: EncoderSpec, adapter: Path | None = None) -> Any:  # noqa: ANN401 - of transformers
    """The decoder of a folder, on the GPU if there is one, in evaluation mode.

    Args:
        folder: Config and weights.
        spec: ``dtype`` is what it computes in.
        adapter: Folder of a LoRA adapter, for the decoder with or without its output layer.

    Raises:
        SetupError: If transformers (or, for an adapter, peft) is not installed or cannot load it, the adapter
            is of another model, or bfloat16 is asked for without a GPU.
    """
    for module in ("torch", "transformers"):
        if find_spec(module) is None:
            raise missing_extra(module, "encode")
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if spec.dtype != "float32" and device == "cpu":
        raise SetupError(
            f"encoder {spec.name!r} computes in {spec.dtype}, which is for GPUs; there is none here.",
            hint=f'Set dtype = "float32" in [encoders.{spec.name}].',
        )
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=getattr(torch, spec.dtype))
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise SetupError(
            f"transformers cannot load encoder {spec.name!r} from {folder}: {str(error)[:300]}",
            hint="Check the folder's files: an encoder of this kind needs a model that generates text.",
        ) from error
    decoder = merge_adapter(model, adapter) if adapter is not None else model.base_model
    return decoder.to(device).eval()
