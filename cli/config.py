"""``featurestore.toml``: typed, every key checked, unknown keys refused with the nearest known one."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from featurestore.codes.generations import SemanticIdOptions
from featurestore.errors import ConfigError, nearest_name, own_words
from featurestore.gates.policy import GatePolicy
from featurestore.graphs.options import GraphOptions
from featurestore.releases.retention import GcPolicy
from featurestore.sessions import SessionPolicy
from featurestore.spec import Frozen
from featurestore.splits import SplitPolicy
from llm_jobs.engines.options import EngineOptions
from llm_jobs.personal_data import PrivacyPolicy
from llm_jobs.refresh_config import RefreshConfig

CONFIG_FILE = "featurestore.toml"


class StoreConfig(Frozen):
    """Where features live."""

    uri: str = Field(default="store", min_length=1)
    """A folder (relative to the project) or ``s3://bucket/prefix``."""


class ColumnsConfig(Frozen):
    """Names of our columns in the data: ``description = "plot"`` reads our description from column plot."""

    items: dict[str, str] = Field(default_factory=dict[str, str])
    users: dict[str, str] = Field(default_factory=dict[str, str])
    interactions: dict[str, str] = Field(default_factory=dict[str, str])


class IngestConfig(Frozen):
    """What ``featurestore ingest`` reads."""

    format: str = "table"
    """Name of a source format (`featurestore.sources`)."""
    items: str | None = None
    """File of item rows, relative to the project."""
    users: str | None = None
    interactions: str | None = None
    columns: ColumnsConfig = ColumnsConfig()
    sessions: SessionPolicy = SessionPolicy()
    split: SplitPolicy = SplitPolicy()


class GenerateConfig(Frozen):
    """How ``featurestore generate`` runs."""

    model: str | None = None
    """Default of ``--model``."""
    prompt: str | None = None
    """Default of ``--prompt``."""
    skip_budget: float = Field(default=0.2, ge=0.0, le=1.0)
    """Share of rows that may fail before the job stops."""
    max_attempts: int = Field(default=2, ge=1)
    """Requests for one answer, the first included."""
    flush_seconds: float = Field(default=5.0, gt=0.0)
    """Finished answers are on disk after this long at most."""
    max_field_chars: int | None = Field(default=None, ge=16)
    """Characters of each written field at most; None keeps the prompt's own limits."""
    history_size: int = Field(default=20, ge=1)
    """Training events of a user that a user prompt reads at most."""
    metrics_file: str | None = Field(default=None, min_length=1)
    """Prometheus text file that says how the run stands, relative to the project."""
    price_per_gpu_hour: float | None = Field(default=None, ge=0.0)
    """Price of one GPU, or of a machine without one, for an hour, in any currency."""


class EncodeConfig(Frozen):
    """How ``featurestore embed`` runs."""

    encoder: str = "minilm"
    batch_size: int = Field(default=64, ge=1)


class ProjectConfig(Frozen):
    """A project's whole configuration; every key has a default."""

    store: StoreConfig = StoreConfig()
    ingest: IngestConfig = IngestConfig()
    generate: GenerateConfig = GenerateConfig()
    engine: EngineOptions = EngineOptions()
    """How language models run on this machine."""
    encode: EncodeConfig = EncodeConfig()
    graph: GraphOptions = GraphOptions()
    semantic_ids: SemanticIdOptions = SemanticIdOptions()
    gates: GatePolicy = GatePolicy()
    gc: GcPolicy = GcPolicy()
    refresh: RefreshConfig = RefreshConfig()
    privacy: PrivacyPolicy = PrivacyPolicy()
    models: dict[str, dict[str, Any]] = Field(default_factory=dict[str, dict[str, Any]])
    """``[models.<alias>]``: own entries, checked by `llm_jobs.models`."""
    encoders: dict[str, dict[str, Any]] = Field(default_factory=dict[str, dict[str, Any]])
    """``[encoders.<alias>]``: own entries, checked by `llm_jobs.models`."""


def load_config(path: Path) -> ProjectConfig:
    """Read and check a configuration file.

    Raises:
        ConfigError: If the file is absent, no TOML, or holds an unknown key or a wrong value: every one of
            them is named, an unknown key with the nearest known one.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path}.",
            hint="Create a project with `featurestore init`, or name its folder with --project.",
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: byte {error.start} cannot be read.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no valid TOML: {error}.") from None
    return parse_config(data, origin=str(path))


def config_if_any(folder: Path) -> ProjectConfig | None:
    """The configuration of a folder that need not be a project; None if it is not.

    Raises:
        ConfigError: If there is no such folder, or its file cannot be used.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}.", hint="Correct --project, or leave it out.")
    path = folder / CONFIG_FILE
    return load_config(path) if path.is_file() else None


def parse_config(data: dict[str, Any], *, origin: str) -> ProjectConfig:
    """Check configuration values.

    Args:
        data: Parsed TOML.
        origin: What messages call the source of the values.

    Raises:
        ConfigError: Naming every unknown key and wrong value at once.
    """
    try:
        return ProjectConfig.model_validate(data)
    except ValidationError as error:
        problems = [
            _problem(list(found["loc"]), found["type"], own_words(found["msg"])) for found in error.errors()
        ]
        raise ConfigError(f"{origin}: {'; '.join(problems)}.") from None


def _problem(loc: Sequence[int | str], kind: str, text: str) -> str:
    name = ".".join(str(part) for part in loc)
    if kind != "extra_forbidden":
        return f"{name}: {text[:1].lower()}{text[1:]}"
    known = _known_keys(loc[:-1])
    near = nearest_name(str(loc[-1]), known)
    guess = f", did you mean {near!r}?" if near else ","
    return f"unknown key {name!r}{guess} known: {', '.join(sorted(known))}"


def _known_keys(loc: Sequence[int | str]) -> list[str]:
    model: type[BaseModel] = ProjectConfig
    for part in loc:
        inner = model.model_fields[str(part)].annotation
        if not isinstance(inner, type) or not issubclass(inner, BaseModel):
            return []
        model = inner
    return list(model.model_fields)
