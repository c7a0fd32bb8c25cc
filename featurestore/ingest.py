"""Ingest: files become the store's source tables, a split, id maps, a quarantine and a suitability report.

Every ingest is a whole snapshot of the files it is given: rows that a file no longer has are deleted from
its source table. An entity without a file keeps its stored rows and gains the ids that the interactions name,
so a data set of bare interactions needs no items file; such a bare id goes with the last interaction that
names it. What each column may hold and what becomes of a row that breaks the contract stands in
`featurestore.row_contract`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from blake3 import blake3

from featurestore import columns as c
from featurestore import id_maps, schema, source_tables
from featurestore.errors import UsageError
from featurestore.jobs.lock import FeatureLock
from featurestore.progress import Progress, no_progress
from featurestore.row_contract import CheckedRows, check_rows
from featurestore.sessions import SessionPolicy, as_sessions
from featurestore.sources import read_source
from featurestore.sources.source import REJECTED_SCHEMA, ROLES, Role
from featurestore.spec import Entity
from featurestore.splits import SplitPolicy, SplitRecord, assign_parts, current_split, record_split
from featurestore.store import Store
from featurestore.suitability import SuitabilityReport, assess

SOURCES_LOCK = "source-tables"
"""Name of the lock under which source tables are written."""
_STEPS = 5
_LEFT_OUT = "events in no session that is kept"
_TABLES: Mapping[Entity, tuple[str, pa.Schema]] = {
    "item": (source_tables.ITEMS, schema.ITEMS),
    "user": (source_tables.USERS, schema.USERS),
}


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """What to ingest.

    Attributes:
        files: The file of each role; at least one of items and interactions.
        format: A name of `featurestore.sources.FORMATS`.
        columns: For each role: our column name → the file's.
        split: How events are assigned to parts.
        sessions: Whether sessions take the place of users, and which.
    """

    files: Mapping[Role, Path]
    format: str = "table"
    columns: Mapping[Role, Mapping[str, str]] = field(default_factory=dict[Role, Mapping[str, str]])
    split: SplitPolicy = field(default_factory=SplitPolicy)
    sessions: SessionPolicy = field(default_factory=SessionPolicy)


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file: every row read was kept, or quarantined for one reason, or is in no session (a note).

    Attributes:
        role: What the file held.
        file: Its name.
        read: Rows and unreadable lines.
        kept: Rows in the store.
        quarantined: Refused rows by reason, most frequent first.
        notes: Values set aside within kept rows.
    """

    role: Role
    file: str
    read: int
    kept: int
    quarantined: dict[str, int]
    notes: dict[str, int]


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did.

    Attributes:
        files: One report a file.
        split: The current split; None while the store has no interactions.
        suitability: Whether the data is worth a language model's cost.
        changed_tables: Source tables that got a new version; none if the content was in the store already.
    """

    files: tuple[FileReport, ...]
    split: SplitRecord | None
    suitability: SuitabilityReport
    changed_tables: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "files": [
                {name: getattr(report, name) for name in FileReport.__slots__} for report in self.files
            ],
            "split": self.split.model_dump(mode="json") if self.split else None,
            "suitability": self.suitability.as_dict(),
            "changed_tables": list(self.changed_tables),
        }


def ingest(store: Store, request: IngestRequest, *, progress: Progress = no_progress) -> IngestReport:
    """Read files, check every row, and write what changed. One ingest at a time, under a lock.

    Args:
        store: Where the source tables go.
        request: Files and how to read them.
        progress: Called after each of five steps.

    Raises:
        UsageError: If neither items nor interactions are given, a name is unknown, or users are given whose
            sessions are cut apart.
        InputError: If a file is missing, empty or unreadable, or none of its rows can be used.
        RowContractError: If a required column is absent or of the wrong type.
        LockHeldError: If another ingest into the store is going on. Nothing is written in any of these cases.
    """
    if not {"items", "interactions"} & set(request.files):
        raise UsageError(
            "there is nothing to ingest: neither an items nor an interactions file was given.",
            hint="Name them with --items and --interactions, or under [ingest] in featurestore.toml.",
        )
    if "users" in request.files and request.sessions.by == "gap":
        raise UsageError(
            f"sessions that pauses end have ids of their own, so that {request.files['users'].name} "
            "describes none of them.",
            hint="Leave the users file out, or take whole users as sessions: --sessions user.",
        )
    checked = _read_all(request)
    progress(1, _STEPS, "files read")
    parted = _parted(checked.get("interactions"), request.split)
    progress(2, _STEPS, "rows checked")
    with FeatureLock(store.objects, SOURCES_LOCK):
        split, suitability, changed = _store_rows(store, request, checked, parted, progress)
    progress(_STEPS, _STEPS, "done")
    files = tuple(_file_report(role, request.files[role], rows) for role, rows in checked.items())
    return IngestReport(files, split, suitability, changed)


def _store_rows(
    store: Store,
    request: IngestRequest,
    checked: Mapping[Role, CheckedRows],
    parted: pl.DataFrame | None,
    progress: Progress,
) -> tuple[SplitRecord | None, SuitabilityReport, tuple[str, ...]]:
    """Bring the source tables, id maps and split up to date; names the tables that changed."""
    events = parted if parted is not None else source_tables.stored(store, source_tables.INTERACTIONS)
    items = _entity_rows(store, "item", checked.get("items"), events)
    users = _entity_rows(store, "user", checked.get("users"), events)
    _extend_id_map(store, "item", items[c.ITEM_ID])
    _extend_id_map(store, "user", users[c.USER_ID])
    progress(3, _STEPS, "ids mapped")
    changed = _write(store, items, users, parted, _quarantine(checked))
    split = current_split(store)
    if parted is not None:
        latest = store.latest(source_tables.INTERACTIONS)
        split = record_split(
            store, parted, request.split, interactions_version=latest.version if latest else 0
        )
    progress(4, _STEPS, "rows written")
    return split, assess(items, users, events), changed


def _read_all(request: IngestRequest) -> dict[Role, CheckedRows]:
    """Items first: the items file decides which items interactions may name."""
    checked: dict[Role, CheckedRows] = {}
    for role in ROLES:
        if role not in request.files:
            continue
        table = read_source(request.format, role, request.files[role], request.columns.get(role, {}))
        known = checked["items"].rows[c.ITEM_ID] if role == "interactions" and "items" in checked else None
        checked[role] = check_rows(table, role, known_items=known, split=request.split.method)
    if "interactions" in checked:
        checked["interactions"] = _in_sessions(checked["interactions"], request.sessions)
    return checked


def _in_sessions(checked: CheckedRows, policy: SessionPolicy) -> CheckedRows:
    """Interactions of sessions, with a note of how many events are in none."""
    rows = as_sessions(checked.rows, policy)
    left_out = checked.rows.height - rows.height
    return replace(
        checked, rows=rows, notes=checked.notes | {_LEFT_OUT: left_out} if left_out else checked.notes
    )


def _parted(checked: CheckedRows | None, policy: SplitPolicy) -> pl.DataFrame | None:
    """Events in stored order, with parts; contract columns first."""
    if checked is None:
        return None
    parted = assign_parts(checked.rows, policy)
    contract = schema.INTERACTIONS.names
    return parted.select(*contract, *(name for name in parted.columns if name not in contract))


def _entity_rows(
    store: Store, entity: Entity, checked: CheckedRows | None, events: pl.DataFrame | None
) -> pl.DataFrame:
    """Rows of the entity's source table: those of the file (or stored), and bare ids that events name."""
    table, contract = _TABLES[entity]
    key = contract.names[0]
    named = source_tables.distinct_ids(events, key)
    base = checked.rows if checked is not None else source_tables.stored(store, table)
    if checked is None and base is not None and events is not None:
        base = source_tables.without_unnamed_bare_ids(base, named, key)
    return source_tables.with_bare_ids(base, named, contract)


def _extend_id_map(store: Store, entity: Entity, ids: pl.Series) -> None:
    """Append new ids in the order of their hash, so that rows tell nothing about the data's order."""
    known = id_maps.load(store, entity)
    new = [external_id for external_id in ids.to_list() if external_id not in known]
    id_maps.extend(store, entity, sorted(new, key=lambda external_id: blake3(external_id.encode()).digest()))


def _write(
    store: Store, items: pl.DataFrame, users: pl.DataFrame, parted: pl.DataFrame | None, refused: pl.DataFrame
) -> tuple[str, ...]:
    """Write what changed, and name the tables that did."""
    changed: list[str] = []
    entities: dict[Entity, pl.DataFrame] = {"item": items, "user": users}
    for entity, rows in entities.items():
        table, contract = _TABLES[entity]
        if source_tables.write_keyed(store, table, rows, contract, key=contract.names[0]):
            changed.append(table)
    whole = [(source_tables.QUARANTINE, refused, schema.QUARANTINE)]
    if parted is not None:
        whole.append((source_tables.INTERACTIONS, parted, schema.INTERACTIONS))
    for table, rows, contract in whole:
        if source_tables.write_whole(store, table, rows, contract):
            changed.append(table)
    return tuple(sorted(changed))


def _quarantine(checked: Mapping[Role, CheckedRows]) -> pl.DataFrame:
    empty = pl.DataFrame(schema=REJECTED_SCHEMA)
    return pl.concat([empty, *(rows.quarantine for rows in checked.values())])


def _file_report(role: Role, path: Path, checked: CheckedRows) -> FileReport:
    return FileReport(
        role=role,
        file=path.name,
        read=checked.num_read,
        kept=checked.rows.height,
        quarantined=checked.reasons,
        notes=checked.notes,
    )
