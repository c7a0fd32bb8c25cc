"""LoRA adapters merged into the weights of a model of transformers: W' = W + (s / r) B A.

Hu et al., LoRA (ICLR 2022), eq. 3. A merged model computes as fast as one without adapter.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from featurestore.errors import SetupError, missing_extra

_WITH_HEAD = "base_model.model.model."
"""Begins the names of an adapter that was made for a decoder with its output layer."""
_SHOWN_NAMES = 3


def merge_adapter(model: Any, adapter: Path) -> Any:  # noqa: ANN401 - a type of transformers
    """The model without its output layer, an adapter merged into its weights; changes the model given.

    Args:
        model: A model of transformers, with or without an output layer.
        adapter: Folder of an adapter as peft saves it.

    Raises:
        SetupError: If peft is not installed, or the adapter is of another model.
    """
    return _merged(model, adapter).base_model


def merge_into_writer(model: Any, adapter: Path) -> Any:  # noqa: ANN401 - a type of transformers
    """The decoder given, with its output layer; arguments and errors as `merge_adapter`."""
    _merged(model, adapter)
    return model


def _merged(model: Any, adapter: Path) -> Any:  # noqa: ANN401 - a type of transformers
    if find_spec("peft") is None:
        raise missing_extra("peft", "encode")
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(adapter / "adapter_model.safetensors", framework="numpy") as weights:
        names = set(weights.keys())
    whole = any(name.startswith(_WITH_HEAD) for name in names)
    try:
        adapted: Any = PeftModel.from_pretrained(model if whole else model.base_model, str(adapter))
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        raise _not_its_adapter(adapter, str(error)[:300]) from error
    # What peft does not find it leaves as it was made, which adds nothing to any weight.
    different = names ^ set(get_peft_model_state_dict(adapted))
    if different:
        listed = ", ".join(sorted(different)[:_SHOWN_NAMES])
        raise _not_its_adapter(adapter, f"{len(different)} weights have no counterpart, such as {listed}")
    return adapted.merge_and_unload()


def _not_its_adapter(adapter: Path, why: str) -> SetupError:
    return SetupError(
        f"the adapter in {adapter} does not fit the model: {why}.",
        hint="Use an adapter that was tuned on these weights.",
    )
