"""Who is to be forgotten, and how their names are recognised in tables, JSON and bytes."""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import polars as pl

from featurestore import columns as c
from featurestore.ids import ExternalId
from featurestore.release import Manifest
from featurestore.source_tables import INTERACTIONS
from featurestore.splits import every_split
from featurestore.store import Store

FORGOTTEN: Final = "[forgotten]"
"""Stands in the place of a name in messages and reports."""
_CERTAIN_CHARS: Final = 6
"""Ids of so many characters are looked for within texts; shorter ones mean too much else (``12``)."""


@dataclass(frozen=True)
class Subject:
    """Users to be forgotten.

    Attributes:
        user_ids: Their external ids.
        item_ids: The items of all events that the store has of them.
    """

    user_ids: frozenset[ExternalId]
    item_ids: frozenset[ExternalId] = frozenset()

    @cached_property
    def _in_text(self) -> re.Pattern[str]:
        """An id as a word of its own; a short one only between quotation marks."""
        forms = [_as_word(each) if len(each) >= _CERTAIN_CHARS else _as_quote(each) for each in self.user_ids]
        return re.compile("|".join(forms))

    def is_named_in(self, text: str) -> bool:
        """Whether a text names one of the users."""
        return bool(self._in_text.search(text))

    def is_named_in_value(self, value: object) -> bool:
        """Whether a string of a JSON value, or a key, names one of the users."""
        return self.without_names(value) != value

    def without_names(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """A JSON value with `FORGOTTEN` in the place of their names."""
        match value:
            case str():
                return self._in_text.sub(FORGOTTEN, value)
            case dict():
                return {self.without_names(key): self.without_names(part) for key, part in value.items()}
            case list():
                return [self.without_names(part) for part in value]
            case _:
                return value

    def byte_forms(self, others: pl.Series) -> tuple[bytes, ...]:
        """How ids look in files: as UTF-8 and as escaped JSON.

        Left out are ids that files may hold by chance: short ones, mere numbers (files hold ids one after
        another, without a gap), and parts of another id, as ``user-1`` is one of ``user-10``.

        Args:
            others: The ids of everyone else, and of all items.
        """
        found: set[bytes] = set()
        for each in self.user_ids:
            by_chance = len(each) < _CERTAIN_CHARS or each.isdecimal()
            if not by_chance and not others.str.contains(each, literal=True).any():
                found |= {each.encode(), json.dumps(each)[1:-1].encode()}
        return tuple(sorted(found))


def find_subject(store: Store, user_ids: Collection[ExternalId], manifests: Sequence[Manifest]) -> Subject:
    """The users, and the items of their events in every version of the interactions that is kept.

    Reads the id columns of these versions.
    """
    users = frozenset(user_ids)
    versions = {
        (pin.table, pin.version)
        for manifest in manifests
        for pin in manifest.pins
        if pin.spec.kind == "source" and pin.spec.feature == "interactions"
    }
    versions |= {(INTERACTIONS, split.interactions_version) for split in every_split(store)}
    stored = {each.version for each in store.versions(INTERACTIONS)}
    items: set[ExternalId] = set()
    for table, version in sorted(versions):
        if table == INTERACTIONS and version not in stored:
            continue
        events = pl.DataFrame(store.read(table, version=version, columns=[c.USER_ID, c.ITEM_ID]))
        items.update(events.filter(pl.col(c.USER_ID).is_in(users))[c.ITEM_ID].unique().to_list())
    return Subject(users, frozenset(items))


def _as_word(text: str) -> str:
    return rf"(?<![\w-]){re.escape(text)}(?![\w-])"


def _as_quote(text: str) -> str:
    return rf"(?<=['\"]){re.escape(text)}(?=['\"])"
