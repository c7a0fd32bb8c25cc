"""Base models: the model of an encoder's entry, loaded so that gradients flow, and its inputs.

z̃ = Pool(F(T; adapters)), RecMind (arXiv 2509.06286), eq. 3. Letters: b texts, t tokens, h hidden size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from featurestore.errors import SetupError, UsageError, missing_extra
from featurestore.spec import EncoderSpec
from llm_jobs.encoders import encoder_spec
from llm_jobs.encoders.hidden_state import batches_by_length
from llm_jobs.encoders.last_token import load_pooling_tokens
from llm_jobs.entries import EncoderEntry
from llm_jobs.model_folder import folder_digest
from llm_jobs.tuning.config import TuningConfig, tuning_device
from llm_jobs.weights import locate_encoder

TokenIds: TypeAlias = list[list[int]]
"""Token ids of each text."""

_TUNABLE: Final = ("mean", "cls", "last_token")
_MAX_BATCH_TOKENS: Final = 16_384


@dataclass(frozen=True)
class BaseModel:
    """A base model, ready for an adapter.

    Attributes:
        network: A decoder with its output layer, or an encoder, of transformers. A decoder keeps that layer
            because adapters are named by the way to their place: vLLM and transformers read the names alike.
        spec: What its vectors are without an adapter.
        folder: Config, tokenizer, weights.
    """

    network: Any
    spec: EncoderSpec
    folder: Path

    @property
    def identity(self) -> list[str]:
        """Of the spec, and of the weights themselves: a folder of no repository has no revision."""
        return [self.spec.digest, folder_digest(self.folder)]

    def token_ids(self, texts: Sequence[str]) -> TokenIds:
        """Inputs of the texts, as the encoder of the same entry makes them.

        Raises:
            SetupError: If the tokenizer cannot be read, or lacks the pooling token.
        """
        if self.spec.pooling == "last_token":
            return load_pooling_tokens(self.folder, self.spec).token_ids(texts)
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(str(self.folder))
        prompted = [self.spec.instruction + text for text in texts]
        return tokenizer(prompted, truncation=True, max_length=self.spec.max_tokens)["input_ids"]


class TextVectors(torch.nn.Module):
    """An adapted network with its pooling: token ids to one vector per text.

    Args:
        network: What `llm_jobs.tuning.lora` made of `BaseModel.network`.
        pooling: ``mean``, ``cls`` or ``last_token``.
    """

    def __init__(self, network: Any, pooling: str) -> None:  # noqa: ANN401 - a type of peft
        super().__init__()
        self.network = network
        self.pooling = pooling

    @property
    def hidden_size(self) -> int:
        """Columns of a vector."""
        return self.network.get_base_model().config.hidden_size

    def forward(self, token_ids: TokenIds) -> torch.Tensor:
        """(b, h) float32 vectors of b inputs, padded at their ends."""
        lengths = torch.tensor([len(ids) for ids in token_ids])
        longest = int(lengths.max())
        padded = torch.tensor([ids + ids[-1:] * (longest - len(ids)) for ids in token_ids])  # (b, t)
        mask = (torch.arange(longest) < lengths.unsqueeze(1)).long()  # (b, t)
        # The network without its output layer, whose products over the vocabulary nobody reads.
        trunk = self.network.get_base_model().base_model
        device = trunk.device
        inputs = {"input_ids": padded.to(device), "attention_mask": mask.to(device)}
        extra = {"use_cache": False} if self.pooling == "last_token" else {}
        states = trunk(**inputs, **extra).last_hidden_state.float()  # (b, t, h)
        match self.pooling:
            case "cls":
                return states[:, 0]
            case "last_token":
                return states[torch.arange(len(token_ids), device=device), (lengths - 1).to(device)]
            case _:
                weights = inputs["attention_mask"].unsqueeze(2).float()  # (b, t, 1)
                return (states * weights).sum(dim=1) / weights.sum(dim=1)


def load_base(entry: EncoderEntry, config: TuningConfig) -> BaseModel:
    """The base model of an encoder's entry, on the config's device.

    Raises:
        SetupError: If the weights or transformers are absent or cannot be loaded.
        UsageError: If the entry's vectors are no pooled hidden states, or it has an adapter already.
    """
    if entry.pooling not in _TUNABLE:
        raise UsageError(
            f"encoder {entry.alias!r} pools by {entry.pooling!r}, which cannot be tuned; "
            f"pooling must be one of {', '.join(_TUNABLE)}.",
            hint="Name another encoder, such as minilm.",
        )
    if entry.adapter is not None:
        raise UsageError(
            f"encoder {entry.alias!r} has an adapter already ({entry.adapter}).",
            hint="Tune the encoder without it: a new adapter starts from the base weights.",
        )
    source = locate_encoder(entry)
    limit = entry.max_tokens if config.max_tokens is None else min(config.max_tokens, entry.max_tokens)
    stated = entry.model_copy(update={"max_tokens": limit, "dtype": config.precision})
    spec = encoder_spec(stated, repo=source.repo, revision=source.revision)
    return BaseModel(_load(source.folder, spec).to(tuning_device(config)), spec, source.folder)


def encode(model: TextVectors, inputs: TokenIds, *, batch_size: int) -> npt.NDArray[np.float32]:
    """Vectors of inputs, in order: (n, h) float32. Texts of like length share a batch."""
    vectors = np.empty((len(inputs), model.hidden_size), np.float32)
    model.eval()
    with torch.inference_mode():
        for rows in batches_by_length([len(ids) for ids in inputs], batch_size, _MAX_BATCH_TOKENS):
            vectors[rows] = model([inputs[row] for row in rows]).cpu().numpy()
    return vectors


def _load(folder: Path, spec: EncoderSpec) -> Any:  # noqa: ANN401 - a type of transformers
    try:
        from transformers import AutoModel, AutoModelForCausalLM
        from transformers.utils import logging
    except ImportError:
        raise missing_extra("transformers", "encode") from None
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    loader = AutoModelForCausalLM if spec.pooling == "last_token" else AutoModel
    try:
        return loader.from_pretrained(
            str(folder), dtype=getattr(torch, spec.dtype), local_files_only=True
        ).eval()
    except (OSError, ValueError, RuntimeError) as error:
        raise SetupError(
            f"transformers cannot load {spec.name!r} from {folder}: {str(error)[:300]}",
            hint="Check the folder's files.",
        ) from error
