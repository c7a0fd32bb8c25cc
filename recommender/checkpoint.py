"""Training that can be stopped: all of its state in one file, written whole or not at all.

A checkpoint stands at the end of an epoch. It holds weights, Adam's moments, both random generators, the best
weights and the history; training that goes on from it computes on a CPU, to the bit, what it would have
computed without the stop. Its identity is a digest of everything that training depends on, so that one of
another configuration, release or seed is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from featurestore.errors import StoreError, UsageError


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """Where a training run keeps its state.

    Attributes:
        path: A safetensors file; its folder exists.
        identity: Digest of model, settings, seed, data and features.
    """

    path: Path
    identity: str

    def discard(self) -> None:
        """Remove the file, if there is one."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class TrainingState:
    """What stands in a checkpoint.

    Attributes:
        epoch: Epochs trained.
        tensors: Name → tensor: ``weight.NAME``, ``best.NAME``, ``adam.NAME.KEY``, ``noise``.
        sampler: State of NumPy's generator.
        progress: JSON values that the loop needs besides.
    """

    epoch: int
    tensors: Mapping[str, torch.Tensor]
    sampler: Mapping[str, Any]
    progress: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        """Tensors whose names start with ``prefix.``, by the rest of their names."""
        start = f"{prefix}."
        return {name.removeprefix(start): t for name, t in self.tensors.items() if name.startswith(start)}


def save_checkpoint(file: CheckpointFile, state: TrainingState) -> None:
    """Write the state; the one before stays until this one is complete.

    Raises:
        OSError: If the disk is full or the folder is gone: the earlier checkpoint is still there.
    """
    facts = {name: value for name, value in asdict(state).items() if name != "tensors"}
    metadata = {"identity": file.identity, "state": json.dumps(facts)}
    scratch = file.path.with_name(f"{file.path.name}.writing")
    try:
        save_file({n: t.detach().cpu().contiguous() for n, t in state.tensors.items()}, scratch, metadata)
        scratch.replace(file.path)
    finally:
        scratch.unlink(missing_ok=True)


def load_checkpoint(file: CheckpointFile) -> TrainingState | None:
    """The state to go on from; None if there is no checkpoint.

    Raises:
        StoreError: If the file is damaged.
        UsageError: If it belongs to another training run.
    """
    if not file.path.exists():
        return None
    try:
        with safe_open(file.path, framework="pt") as opened:
            metadata: dict[str, str] = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        facts: dict[str, Any] = json.loads(metadata["state"])
        found = metadata["identity"]
    except (SafetensorError, KeyError, ValueError) as error:
        raise StoreError(
            f"{file.path} is damaged or no checkpoint: {error}.",
            hint="Remove it and train from the beginning.",
        ) from error
    if found != file.identity:
        raise UsageError(
            f"{file.path} belongs to another training run (identity {found}, this one {file.identity}): "
            "settings, seed, release, features or the product's version differ.",
            hint="Train without --resume to begin anew, or give the settings that it was begun with.",
        )
    return TrainingState(tensors=tensors, **facts)
