"""What a store holds now, as plain JSON values that change whenever it does: cheap, no row is read."""

from typing import Any

from featurestore.features import FeatureRegistry
from featurestore.source_tables import INTERACTIONS, ITEMS, USERS
from featurestore.spec import Kind
from featurestore.splits import current_split
from featurestore.store import Store
from featurestore.table_upkeep import version_merged


def table_versions(store: Store, *tables: str) -> dict[str, int | None]:
    """The newest version of each table; None for one that does not exist. Compaction changes nothing."""
    found = {table: store.latest(table) for table in tables}
    return {
        table: version_merged(store, table, version.version) if version else None
        for table, version in found.items()
    }


def source_state(store: Store) -> dict[str, Any]:
    """Versions of the source tables, and the split."""
    split = current_split(store)
    return {
        **table_versions(store, ITEMS, USERS, INTERACTIONS),
        "split": split.model_dump(mode="json") if split else None,
    }


def head_state(store: Store, kind: Kind, feature: str, view: str) -> dict[str, int | None]:
    """The table of the head of a feature view and its newest version; empty if there is no head."""
    heads = FeatureRegistry(store).heads(kind)
    named = [head.table for head in heads if (head.spec.feature, head.spec.view) == (feature, view)]
    return table_versions(store, *named)
