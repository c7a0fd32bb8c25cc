"""The nightly job that `release_kills` kills: refresh, publish, promote, collect garbage.

The job dies by its own hand (SIGKILL), before, during or after one of its writes to the store.
"""

import json
import os
import re
import signal
import threading
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from generation_world import LENIENT, PROMPTS, CountingEngine
from refresh_world import GATES, Shop, run_night
from release_readers import FEATURE, title_of

from featurestore.objects import LocalObjects
from featurestore.releases.gc import gc
from featurestore.releases.retention import GcPolicy
from featurestore.stores import connect
from featurestore.stores.lancedb_store import LanceStore
from llm_jobs.engine import Completion, Request
from llm_jobs.generate import GenerateOptions
from llm_jobs.models import find_model
from llm_jobs.prompt import load_prompt
from llm_jobs.refresh_job import FeatureJob, TextJob

# Jobs are forked from a server that loads this module; nothing of Lance runs in it.
warnings.filterwarnings("ignore", message="lance.*fork")

_NUM_ITEMS: Final = 8
_USERS: Final = 4
_EVENTS: Final = 6
_KEPT: Final = GcPolicy(keep_releases=3, grace_hours=0.0)

_NIGHTLY_WORD: Final = re.compile(r"\w+-night\d+")

Moment: TypeAlias = Literal["before", "during", "after"]


@dataclass(frozen=True, slots=True)
class Death:
    """When a job dies.

    Attributes:
        write: What it is about to write, doing or has done: ``text upsert``, ``releases put_new``.
        number: At which such write, from 1.
        moment: Before it, during it or after it.
        delay: Seconds after its beginning, if during.
    """

    write: str
    number: int
    moment: Moment
    delay: float


class _NightEngine(CountingEngine):
    """Answers name the night of the title that they are about."""

    def _answer(self, request: Request, draw: Any) -> Completion:
        words = _NIGHTLY_WORD.findall(request.messages[-1].content)
        steps = [{"quote": word, "characteristic": f"It has a {word} that lasts."} for word in words[:3]]
        answer = {"CoT": steps, "keywords": words[3:]}
        return replace(super()._answer(request, draw), text=json.dumps(answer))


def work(folder: str, night: int, death: Death | None) -> None:
    """Bring the shop to a night, noting every write to the store in ``writes``."""
    home = Path(folder)
    journal = os.open(home / "writes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    seen = Counter[str]()

    def moment_of_death(write: str) -> Moment | None:
        seen[write] += 1
        os.write(journal, f"{write}\n".encode())
        return death.moment if death and (write, seen[write]) == (death.write, death.number) else None

    for method in ("put_new", "delete"):
        _make_mortal(LocalObjects, method, moment_of_death, death)
    for method in ("upsert", "replace", "delete", "compact", "protect", "drop"):
        _make_mortal(LanceStore, method, moment_of_death, death)
    store = connect(str(home / "store"))
    run_night(store, home, _shop(night), _features(), engine=_NightEngine(), gates=GATES)
    gc(store, _KEPT)


def _make_mortal(
    owner: type[Any], method: str, moment_of_death: Callable[[str], Moment | None], death: Death | None
) -> None:
    write = getattr(owner, method)

    @wraps(write)
    def mortal(store: Any, name: str, *arguments: Any, **named: Any) -> Any:
        kind = name.replace("/", ".").partition(".")[0]
        moment = moment_of_death(f"{kind} {method}")
        if moment == "before":
            _die()
        if moment == "during" and death is not None:
            threading.Timer(death.delay, _die).start()
        result = write(store, name, *arguments, **named)
        if moment == "after":
            _die()
        return result

    setattr(owner, method, mortal)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _shop(night: int) -> Shop:
    items = [f"i{number}" for number in range(_NUM_ITEMS)]
    titles = {item: title_of(number, night) for number, item in enumerate(items)}
    events = [
        (f"u{user}", items[(user + time) % _NUM_ITEMS], time)
        for user in range(_USERS)
        for time in range(_EVENTS)
    ]
    return Shop(titles, events)


def _features() -> tuple[FeatureJob, ...]:
    """Texts of items, their vectors, and a graph of users by the items that they trained on."""
    prompt = load_prompt(PROMPTS / "item_semantic_id.toml")
    written = TextJob(prompt, find_model("echo", {}), GenerateOptions(limits=LENIENT))
    return (FeatureJob(FEATURE, written, views=("text",), graphs=("text",)),)
