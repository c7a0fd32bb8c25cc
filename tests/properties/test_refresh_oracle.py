"""Nights of random changes: a refresh asks exactly what an independent oracle says is stale.

What it leaves equals a store that was built anew from the last night's files.
"""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from generation_world import STAGES
from hypothesis import given, settings
from hypothesis import strategies as st
from refresh_world import Event, Shop, items_and_users, run_night

from featurestore.features import FeatureRegistry
from featurestore.release import ReleaseCatalog
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore
from llm_jobs.due import DuePolicy

_USERS = ("u0", "u1", "u2", "u3", "u4")
_ITEMS = tuple(f"i{n}" for n in range(7))
_SHARE = 0.4
_HISTORY = 20
"""Events that the user prompt shows at most: more than these users have."""

_TITLE = st.sampled_from(["Kettle", "Teapot", "Mug", "Jug"])
_CHANGE = st.one_of(
    st.tuples(st.just("title"), st.sampled_from(_ITEMS), _TITLE),
    st.tuples(st.just("drop item"), st.sampled_from(_ITEMS), st.none()),
    st.tuples(st.just("event"), st.sampled_from(_USERS), st.sampled_from(_ITEMS)),
    st.tuples(st.just("drop events"), st.sampled_from(_USERS), st.integers(1, 3)),
    st.tuples(st.just("drop user"), st.sampled_from(_USERS), st.none()),
)
_NIGHTS = st.lists(st.lists(_CHANGE, max_size=4), min_size=1, max_size=4)

Read = tuple[tuple[str, str], ...]
"""What a user's text read: item and title of each training event."""


class _World:
    """Tonight's files, and a plain model of what every text was written from."""

    def __init__(self) -> None:
        self.titles = {item: f"{item} the first" for item in _ITEMS[:6]}
        self.events: list[Event] = [
            (user, item, time)
            for number, user in enumerate(_USERS[:4])
            for time, item in enumerate(_ITEMS[number % 3 : number % 3 + 4])
        ]
        self.clock = 100
        self.item_texts: dict[str, str] = {}
        self.user_texts: dict[str, Read] = {}
        self.known: set[tuple[str, Any]] = set()
        """Everything that was ever asked: equal questions are asked once."""

    def change(self, step: tuple[str, Any, Any]) -> None:
        match step:
            case ("title", item, title):
                self.titles[item] = f"{title} of {item}"
            case ("drop item", item, _) if len(self.titles) > 3:
                self.titles.pop(item, None)
                self.events = [event for event in self.events if event[1] != item]
            case ("event", user, item) if item in self.titles:
                self.clock += 1
                self.events.append((user, item, self.clock))
            case ("drop events", user, count):
                mine = [event for event in self.events if event[0] == user]
                self.keep_two_users([event for event in self.events if event not in mine[-count:]])
            case ("drop user", user, _):
                self.keep_two_users([event for event in self.events if event[0] != user])
            case _:
                pass

    def keep_two_users(self, events: list[Event]) -> None:
        """A graph needs two users with training events."""
        if len({user for user, _, _ in events}) >= 2:
            self.events = events

    @property
    def shop(self) -> Shop:
        return Shop(dict(self.titles), list(self.events))

    def reads(self) -> dict[str, Read]:
        """What each user's text should read: leave-one-out by hand."""
        found: dict[str, Read] = {}
        for user in {user for user, _, _ in self.events}:
            mine = sorted((time, item) for who, item, time in self.events if who == user)
            train = mine[:-2] if len(mine) >= 3 else mine
            found[user] = tuple((item, self.titles[item]) for _, item in reversed(train[-_HISTORY:]))
        return found

    def expect(self, share: float) -> tuple[set[tuple[str, Any]], int, int]:
        """What tonight asks that was never asked; how many users are stale, and due. Moves the model on."""
        asked: set[tuple[str, Any]] = set()
        self.item_texts = {item: self.item_texts.get(item, "") for item in self.titles}
        for item, title in self.titles.items():
            if self.item_texts[item] != title:
                asked.add(("item", title))
                self.item_texts[item] = title
        reads = self.reads()
        self.user_texts = {user: read for user, read in self.user_texts.items() if user in reads}
        stale = {user for user, read in reads.items() if self.user_texts.get(user) != read}
        due = {user for user in stale if self.is_due(self.user_texts.get(user), reads[user], share)}
        for user in due:
            asked.add(("user", tuple(title for _, title in reads[user])))
            self.user_texts[user] = reads[user]
        fresh = asked - self.known
        self.known |= asked
        return fresh, len(stale), len(due)

    @staticmethod
    def is_due(before: Read | None, now: Read, share: float) -> bool:
        if before is None:
            return True
        longest = max(len(before), len(now))
        common = sum((Counter(before) & Counter(now)).values())
        held_out = Counter(item for item, _ in before) - Counter(item for item, _ in now)
        return bool(held_out) or 1 - common / longest >= share


def _asked(night: Any) -> Counter[str]:
    """Conversations by their first turn, which holds the entity's data: one for each stage."""
    return Counter(request.messages[1].content for request in night.engine.requests)


def _play(nights: list[list[tuple[str, Any, Any]]], share: float) -> tuple[Store, _World]:
    world, store = _World(), MemoryStore()
    features = items_and_users(DuePolicy(min_changed_share=share))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, changes in enumerate([[], *nights]):
            for step in changes:
                world.change(step)
            fresh, stale, due = world.expect(share)
            night = run_night(store, folder, world.shop, features)
            asked = _asked(night)
            assert len(asked) == len(fresh), number
            assert set(asked.values()) <= {len(STAGES)}
            facts = night.facts("texts.user_cot")
            if night.statuses["texts.user_cot"] != "skipped":
                assert (facts["stale"], facts["due"]) == (stale, due)
            else:
                assert due == 0
            again = run_night(store, folder, world.shop, features)
            assert (again.engine.requests, again.encoded) == ([], [])
            assert again.facts("publish")["release"] == night.facts("publish")["release"]
    return store, world


def _rows(store: Store, kind: Any, feature: str, view: str) -> list[dict[str, Any]]:
    return store.read(FeatureRegistry(store).head(kind, feature, view).table).to_pylist()


def _content(store: Store) -> dict[str, Any]:
    """Texts, vectors and edges by external id, without what differs from run to run."""
    found: dict[str, Any] = {}
    for feature in ("item_cot", "user_cot"):
        for view in STAGES:
            rows = _rows(store, "text", feature, view)
            found[f"text {feature}.{view}"] = {
                row["id"]: (row["text"], row["status"], row["fingerprint"], row["event_set"]) for row in rows
            }
        found[f"vector {feature}"] = {
            row["id"]: (tuple(row["vector"]), row["event_set"])
            for row in _rows(store, "vector", feature, "fused")
        }
    for feature, view in (("item_cot", "fused-users"), ("user_cot", "fused")):
        edges = _rows(store, "graph", feature, view)
        found[f"graph {feature}"] = {(e["src_id"], e["rank"]): (e["dst_id"], e["score"]) for e in edges}
    return found


@settings(max_examples=16)
@given(_NIGHTS)
def test_requests_are_the_oracles_and_the_result_is_a_rebuilds(
    nights: list[list[tuple[str, Any, Any]]],
) -> None:
    store, world = _play(nights, share=0.0)
    rebuilt = MemoryStore()
    with tempfile.TemporaryDirectory() as folder:
        run_night(rebuilt, Path(folder), world.shop, items_and_users())
    ours, theirs = _content(store), _content(rebuilt)
    for name in theirs:
        if not name.startswith("graph"):
            assert ours[name] == theirs[name], name
            continue
        assert ours[name].keys() == theirs[name].keys(), name
        scores = [(ours[name][edge][1], theirs[name][edge][1]) for edge in theirs[name]]
        np.testing.assert_allclose(*np.transpose(scores) if scores else ([], []), atol=1e-6)
    pins = ReleaseCatalog(store).resolve("production").pins
    assert {pin.name for pin in pins} >= {"item_cot.fused", "user_cot.fused"}


@settings(max_examples=10)
@given(_NIGHTS)
def test_a_policy_leaves_exactly_what_the_oracle_leaves(nights: list[list[tuple[str, Any, Any]]]) -> None:
    _play(nights, share=_SHARE)
