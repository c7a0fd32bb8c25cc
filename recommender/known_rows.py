"""A later release seen through a model that was fitted on an earlier one.

Rows of id maps never change, so the rows that a model knows are the first ones of every release that follows.
"""

import numpy as np
import polars as pl

from featurestore import columns as c
from featurestore.errors import StoreError
from featurestore.ids import ExternalId, RowArray, digest_texts
from featurestore.reader import Release
from featurestore.source_tables import INTERACTIONS
from featurestore.spec import Entity
from featurestore.splits import every_split
from featurestore.store import Store
from recommender.data import TrainingData, load_training_data, training_data
from recommender.saved import Binding


def known_ids(release: Release, binding: Binding, entity: Entity) -> tuple[ExternalId, ...]:
    """External ids of the rows that a model knows.

    Args:
        release: The release that the model was fitted on, or a later one.
        binding: The model's.
        entity: Users or items.

    Raises:
        StoreError: If the release's rows are others.
    """
    count, expected = (
        (binding.num_users, binding.user_ids) if entity == "user" else (binding.num_items, binding.item_ids)
    )
    known = release.id_map(entity).ids[:count]
    if digest_texts(known) != expected:
        raise StoreError(
            f"the {entity} rows of the model, fitted on release {binding.release}, are not those of release "
            f"{release.number}.",
            hint="Train the model again on the newest release.",
        )
    return known


def known_training_keys(
    store: Store, event_set: str | None, release: Release, binding: Binding
) -> RowArray | None:
    """Training pairs of an earlier split among the rows that a model knows.

    Cost: reads the interactions of that split.

    Args:
        store: Holds the split.
        event_set: The split's training part, as stored rows name it.
        release: Whose id maps say which rows these are.
        binding: The model's.

    Returns:
        (n,) int64, each pair once, ascending: the user's row times the number of items that the model knows,
        plus the item's row. None if the store has no record of the split.

    Raises:
        StoreError: If the release's rows are others.
    """
    splits = [each for each in every_split(store) if each.event_set(c.TRAIN) == event_set]
    if not splits:
        return None
    names = [c.USER_ID, c.ITEM_ID, c.PART]
    events = pl.DataFrame(store.read(INTERACTIONS, version=splits[-1].interactions_version, columns=names))
    pairs = events.filter(pl.col(c.PART) == c.TRAIN)
    sides: tuple[tuple[str, Entity], ...] = ((c.USER_ID, "user"), (c.ITEM_ID, "item"))
    for column, entity in sides:
        known = pl.DataFrame({column: known_ids(release, binding, entity)}).with_row_index(entity)
        pairs = pairs.join(known, on=column)
    users, items = (pairs[entity].to_numpy().astype(np.int64) for _, entity in sides)
    return np.unique(users * binding.num_items + items)


def known_data(release: Release, binding: Binding) -> TrainingData:
    """Events of a release among the rows that a model knows; others are left out.

    Raises:
        StoreError: If the release's rows are others.
        InputError: If no training event is left.
    """
    num_users = len(known_ids(release, binding, "user"))
    num_items = len(known_ids(release, binding, "item"))
    every = load_training_data(release)
    users = np.repeat(np.arange(every.num_users), every.histories.lengths)
    train = (users < num_users) & (every.histories.items < num_items)
    valid = (every.valid.users < num_users) & (every.valid.items < num_items)
    return training_data(
        num_users=num_users,
        num_items=num_items,
        train=(users[train], every.histories.items[train]),
        valid=(every.valid.users[valid], every.valid.items[valid]),
    )
