"""Run cards: what a job did, kept in the store beside the rows it wrote."""

import platform
import secrets
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from pydantic import Field

from featurestore.errors import StoreError
from featurestore.ids import canonical_json
from featurestore.spec import Frozen
from featurestore.store import Store

RunStatus: TypeAlias = Literal["finished", "stopped", "failed"]
"""``stopped``: Ctrl-C, SIGTERM or a spent skip budget; ``failed``: any other error."""

_FOLDER = "runs/"


class RunCard(Frozen):
    """The record of one run."""

    format_version: Literal[1] = 1
    run_id: str
    job: str
    """Name of the command: ``generate``."""
    status: RunStatus
    started_at: str
    seconds: float = Field(ge=0.0)
    feature: str
    specs: dict[str, str]
    """View → digest of the spec its rows were written under."""
    counts: dict[str, dict[str, int]]
    """View → outcome (``ok``, or the reason of a failure) → rows."""
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    engine: str | None = None
    """Class of the engine that answered; None if none was started."""
    error: str | None = None
    """Why the run did not finish."""
    product_version: str
    python_version: str


def new_run_id(now: datetime | None = None) -> str:
    """A fresh run id, ``20261121T074512345-5f3a9c``: ids sort by the time the runs began."""
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}-{secrets.token_hex(3)}"


def python_version() -> str:
    """Version of the running Python."""
    return platform.python_version()


def write_run_card(store: Store, card: RunCard) -> None:
    """Keep a run card.

    Raises:
        StoreError: If the run has one already.
    """
    path = f"{_FOLDER}{card.run_id}.json"
    if not store.objects.put_new(path, canonical_json(card.model_dump(mode="json")).encode()):
        raise StoreError(f"run {card.run_id} has a run card already.")


def read_run_card(store: Store, run_id: str) -> RunCard:
    """The card of a run.

    Raises:
        MissingVersionError: If there is none.
    """
    return RunCard.model_validate_json(store.objects.read(f"{_FOLDER}{run_id}.json"))


def list_runs(store: Store) -> list[str]:
    """Ids of all runs with a card, oldest first."""
    return [path.removeprefix(_FOLDER).removesuffix(".json") for path in store.objects.list(_FOLDER)]
