"""GGUF files made into plain model folders, once, in a cache."""

import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from featurestore.errors import missing_extra
from featurestore.ids import digest

_FORMAT = 1
"""Raised when the conversion itself changes, so that old folders are not used."""


def converted_folder(gguf: Path, cache: Path) -> Path:
    """The bfloat16 safetensors folder of a GGUF file, with its tokenizer and chat template.

    Converted at the first call (some seconds per 100 M weights, float32 in memory) into a temporary
    folder that is renamed when complete: a killed conversion leaves nothing that looks like a model.

    Args:
        gguf: The file.
        cache: Folder that holds converted models.

    Raises:
        SetupError: If transformers, gguf or accelerate are not installed.
    """
    size = gguf.stat().st_size
    folder = cache / f"{gguf.stem}-{digest([gguf.name, size, _FORMAT])[:12]}"
    if (folder / "config.json").is_file():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{gguf.stem}-", dir=cache))
    try:
        _convert(gguf, unfinished)
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster, with the same outcome
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    for module in ("torch", "transformers", "accelerate", "gguf"):
        if find_spec(module) is None:
            raise missing_extra(module, "gguf")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    place = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(
        **place, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    model.bfloat16().save_pretrained(folder)
    AutoTokenizer.from_pretrained(**place).save_pretrained(folder)
