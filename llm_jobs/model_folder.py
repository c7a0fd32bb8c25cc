"""Model folders: are they complete, what is their chat template, which weights do they hold."""

import json
import re
from pathlib import Path
from typing import Any

from blake3 import blake3
from pydantic import ValidationError

from featurestore.adapters import ABOUT, Adapter, AdapterOrigin
from featurestore.errors import SetupError
from featurestore.ids import DIGEST_LENGTH

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
"""Any one of these is a vocabulary that transformers can read."""
_SMALL_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "chat_template.jinja",
)
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_DIGEST = re.compile(rf"[0-9a-f]{{{DIGEST_LENGTH}}}")
_SAMPLES = 64
_SAMPLE_BYTES = 64 * 1024


def check_model_folder(folder: Path, *, what: str, chat: bool, weights: bool = True) -> None:
    """Refuse a folder that a model cannot be loaded from, naming everything that is absent.

    Args:
        folder: The folder.
        what: What it should hold, for the message: ``model 'deepseek-r1-14b'``.
        chat: Whether a chat template is needed.
        weights: Whether weights are needed.

    Raises:
        SetupError: If the folder, its config, tokenizer, chat template or weights are absent.
    """
    if not folder.is_dir():
        raise SetupError(f"the folder of {what} does not exist: {folder}", hint="Give a folder with weights.")
    absent: list[str] = []
    if not (folder / "config.json").is_file():
        absent.append("config.json")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        absent.append(f"a tokenizer ({' or '.join(TOKENIZER_FILES)})")
    elif chat and not chat_template(folder):
        absent.append("a chat template (chat_template.jinja, or chat_template in tokenizer_config.json)")
    if weights and not weight_files(folder):
        absent.append("weights (*.safetensors)")
    if absent:
        raise SetupError(
            f"the folder of {what} is not complete: {folder} lacks {'; '.join(absent)}.",
            hint="Copy these files from the model's repository into the folder, beside the others.",
        )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, sorted; empty if some that its index names are absent."""
    files = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = set(_read_json(index).get("weight_map", {}).values())
        if not named <= {path.name for path in files}:
            return []
    return files


def weights_gib(folder: Path) -> float:
    """Size of the weights on disk, GiB."""
    return sum(path.stat().st_size for path in weight_files(folder)) / 1024**3


def chat_template(folder: Path) -> str:
    """The default chat template's text; empty if the folder has none."""
    jinja = folder / "chat_template.jinja"
    if jinja.is_file():
        return jinja.read_text("utf-8")
    config = folder / "tokenizer_config.json"
    if not config.is_file():
        return ""
    template = _read_json(config).get("chat_template") or ""
    if isinstance(template, list):  # several named templates
        template = next((t["template"] for t in template if t.get("name") == "default"), "")
    return str(template)


def context_length(folder: Path) -> int | None:
    """``max_position_embeddings`` of the model, if its config says it."""
    found = _read_json(folder / "config.json").get("max_position_embeddings")
    return int(found) if found is not None else None


def folder_digest(folder: Path) -> str:
    """Identity of a folder's model: config and tokenizer whole, weights by size and 64 samples a file.

    Fine-tuning moves nearly every weight, so samples tell two models apart at a fraction of the reading.
    """
    hasher = blake3()
    for path in [folder / name for name in _SMALL_FILES if (folder / name).is_file()]:
        hasher.update(path.name.encode() + b"\0" + path.read_bytes())
    for path in weight_files(folder):
        size = path.stat().st_size
        hasher.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            for i in range(_SAMPLES):
                file.seek(max(0, size - _SAMPLE_BYTES) * i // (_SAMPLES - 1))
                hasher.update(file.read(_SAMPLE_BYTES))
    return hasher.hexdigest()[:DIGEST_LENGTH]


def adapter_digest(folder: Path) -> str:
    """Identity of a LoRA adapter: its config and weights, whole; of a store's own, as the store calls it.

    Raises:
        SetupError: If the folder or one of these two files is absent, or as `copied_adapter`.
    """
    absent = [name for name in _ADAPTER_FILES if not (folder / name).is_file()]
    if absent:
        raise SetupError(
            f"the adapter folder {folder} lacks {' and '.join(absent)}.",
            hint="Give a LoRA adapter as peft saves it.",
        )
    copied = copied_adapter(folder)
    if copied is not None:
        return copied.digest
    hasher = blake3()
    for name in _ADAPTER_FILES:
        content = (folder / name).read_bytes()
        hasher.update(f"{name}\0{len(content)}\0".encode() + content)
    return hasher.hexdigest()[:DIGEST_LENGTH]


def copied_adapter(folder: Path) -> Adapter | None:
    """What a folder holds that was copied out of a store, ``about.json`` and all; None if it is no such copy.

    Files whose names begin with a dot are not the adapter's. A folder that is still called by its digest is
    checked against it.

    Raises:
        SetupError: If ``about.json`` cannot be read, or files are others than the folder's name says.
    """
    about = folder / ABOUT
    if not about.is_file():
        return None
    try:
        origin = AdapterOrigin.model_validate(_read_json(about))
    except ValidationError as error:
        why = f"{ABOUT} says nothing of an adapter: {error.errors()[0]['msg']}"
        raise _damaged_copy(folder, why) from error
    names = [path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    files = {name: (folder / name).read_bytes() for name in names if name != ABOUT}
    adapter = Adapter(files, origin)
    if _DIGEST.fullmatch(folder.name) and folder.name != adapter.digest:
        raise _damaged_copy(folder, "its files are others than its name says")
    return adapter


def _damaged_copy(folder: Path, found: str) -> SetupError:
    return SetupError(
        f"the adapter folder {folder} is damaged: {found}.",
        hint="Copy the folder adapters/<digest> of the store again, whole and with nothing else in it.",
    )


def adapter_rank(folder: Path) -> int:
    """Rank of a LoRA adapter (``r`` of its config).

    Raises:
        SetupError: If its config cannot be read or names no rank.
    """
    config = folder / _ADAPTER_FILES[0]
    rank = _read_json(config).get("r")
    if not isinstance(rank, int) or rank < 1:
        raise SetupError(
            f"{config} names no rank r, but {rank!r}.", hint="Give a LoRA adapter as peft saves it."
        )
    return rank


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SetupError(f"{path} cannot be read as JSON: {error}.", hint="Copy the file again.") from None
