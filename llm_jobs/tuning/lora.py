"""LoRA adapters by peft: attached to any decoder or encoder of transformers, written out, read back.

    W' = W + (s / r) B A    Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, eq. 3

W (out, in) stays frozen, A (r, in) starts random and B (out, r) at zero: a new adapter changes nothing. s is
``lora_alpha``. Only linear maps of the repeated blocks are adapted, never embeddings, heads or poolers.
"""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final

import torch

from featurestore.errors import StoreError, UnknownNameError, UsageError, missing_extra
from llm_jobs.tuning.config import ALL_LINEAR, TuningConfig

CONFIG_FILE: Final = "adapter_config.json"
WEIGHTS_FILE: Final = "adapter_model.safetensors"
_DROPOUT: Final = "lora_dropout"


def require_peft() -> None:
    """Refuse to begin where peft is absent.

    Raises:
        SetupError: With the install line.
    """
    if find_spec("peft") is None:
        raise missing_extra("peft", "encode")


def attach_adapter(network: torch.nn.Module, config: TuningConfig, *, seed: int) -> Any:  # noqa: ANN401 - a type of peft
    """A new adapter on a model of transformers; the model's own weights are frozen, in place.

    Args:
        network: The base model.
        config: Rank, scale, dropout and targets.
        seed: Of the first A; the process's own generator stays where it was.

    Raises:
        SetupError: If peft is not installed.
        UnknownNameError: If a target is no linear map of the model's blocks; lists those.
        UsageError: If the blocks have no linear map at all.
    """
    require_peft()
    from peft import LoraConfig, get_peft_model

    targets, outside = _targets(network, config.target_modules)
    shape = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=sorted(targets),
        exclude_modules=sorted(outside) or None,
        bias="none",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(network, shape).eval()  # pyright: ignore[reportArgumentType] - any module will do


def adapter_files(adapted: Any) -> dict[str, bytes]:  # noqa: ANN401 - a type of peft
    """An adapter as the two files that peft and vLLM read.

    They do not name the base model, which may be a folder of this machine, and which peft would look for at
    the hub: the origin of the adapter does (`featurestore.adapters`).

    Args:
        adapted: What `attach_adapter` gave.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save

    stated = adapted.peft_config["default"].to_dict()
    stated |= {"base_model_name_or_path": None, "inference_mode": True}
    weights = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    tensors = {name: weights[name].detach().cpu().contiguous() for name in sorted(weights)}
    return {
        CONFIG_FILE: json.dumps(stated, sort_keys=True, indent=1, default=sorted).encode(),
        WEIGHTS_FILE: save(tensors, metadata={"format": "pt"}),
    }


def attach_stored(network: torch.nn.Module, files: Mapping[str, bytes]) -> Any:  # noqa: ANN401 - a type of peft
    """The adapter of `adapter_files` on a fresh base model, for encoding.

    Raises:
        SetupError: If peft is not installed.
        StoreError: If the files do not belong to such a model.
    """
    require_peft()
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load

    stated: dict[str, Any] = json.loads(files[CONFIG_FILE]) | {"inference_mode": False}
    known = LoraConfig.__dataclass_fields__
    shape = LoraConfig(**{name: value for name, value in stated.items() if name in known})
    weights = load(files[WEIGHTS_FILE])
    try:
        with torch.random.fork_rng(devices=[]):
            adapted = get_peft_model(network, shape)  # pyright: ignore[reportArgumentType] - any module will do
        different = weights.keys() ^ get_peft_model_state_dict(adapted, save_embedding_layers=False).keys()
        set_peft_model_state_dict(adapted, weights)
    except (ValueError, RuntimeError) as error:
        raise _unfit(str(error)[:300]) from error
    if different:
        raise _unfit(f"{len(different)} weights have no counterpart, such as {min(different)}")
    return adapted.eval()


@contextmanager
def adapter_dropout(model: torch.nn.Module) -> Generator[None]:
    """While this lasts an adapter drops inputs; the base model's own dropout is off, before, in and after."""
    model.eval()
    dropouts = [module for name, module in model.named_modules() if _DROPOUT in name]
    for module in dropouts:
        module.train()
    try:
        yield
    finally:
        model.eval()


def _unfit(why: str) -> StoreError:
    return StoreError(
        f"the adapter does not fit the base model: {why}.",
        hint="Name the encoder that it was tuned on, or tune again.",
    )


def _targets(network: torch.nn.Module, wanted: str) -> tuple[set[str], set[str]]:
    """Last names of the linear maps to adapt, and full names of those beside the blocks that share one."""
    linear = [name for name, module in network.named_modules() if isinstance(module, torch.nn.Linear)]
    in_blocks = [name for name in linear if any(part.isdecimal() for part in name.split("."))]
    known = {name.rpartition(".")[2] for name in in_blocks}
    if not known:
        raise UsageError(
            f"{type(network).__name__} has no linear maps in its blocks that could be adapted.",
            hint="Tune a model whose blocks hold torch's Linear, which GPT-2 and its kind do not.",
        )
    targets = known if wanted == ALL_LINEAR else {name.strip() for name in wanted.split(",")}
    for name in sorted(targets - known):
        raise UnknownNameError("target module", name, {*known, ALL_LINEAR})
    return targets, {n for n in set(linear) - set(in_blocks) if n.rpartition(".")[2] in targets}
