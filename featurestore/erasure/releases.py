"""Redacted successors of releases: written first, then the aliases move, then the originals go."""

from collections.abc import Mapping

from featurestore.erasure.subject import Subject
from featurestore.erasure.tables import Place, TableEraser, event_counts
from featurestore.gate_result import GateResult
from featurestore.gates.rules import ids_in_row
from featurestore.release import Manifest, ReleaseCatalog, TablePin, now
from featurestore.snapshot import write_snapshot
from featurestore.splits import SplitRecord
from featurestore.store import Store
from featurestore.superseded import Superseded, record_superseded
from featurestore.table_facts import measure


def write_successors(store: Store, eraser: TableEraser) -> dict[int, int]:
    """Write a redacted successor of every release that holds something about the users.

    Costs the tables concerned, not the others: these stay pinned as they are.

    Args:
        store: The store; the caller holds its publish lock.
        eraser: Has removed the users from the newest rows.

    Returns:
        Release → its successor, also of those that an interrupted erasure had written.
    """
    catalog = ReleaseCatalog(store)
    manifests = catalog.manifests()
    written = {m.supersedes: m.number for m in manifests if m.supersedes is not None}
    made: dict[int, int] = {m.number: written[m.number] for m in manifests if m.number in written}
    for manifest in manifests:
        if manifest.number in made:
            continue
        redacted = _redacted(store, manifest, eraser, made)
        if redacted is not None:
            number = catalog.numbers()[-1] + 1
            catalog.add(redacted.model_copy(update={"number": number}))
            # At once: should this stop here, the newest release is still the newest one.
            record_superseded(store.objects, Superseded(release=manifest.number, successor=number, at=now()))
            made[manifest.number] = number
    return made


def replace_originals(store: Store, made: Mapping[int, int]) -> dict[str, int]:
    """Move aliases to the successors and remove the originals. The caller holds the lock of aliases.

    Returns:
        Alias → the release that it names now, of those that were moved.
    """
    catalog = ReleaseCatalog(store)
    moved = {alias: made[number] for alias, number in catalog.aliases().items() if number in made}
    for alias, number in moved.items():
        catalog.point(alias, number)
    for number, successor in made.items():
        record_superseded(store.objects, Superseded(release=number, successor=successor, at=now()))
        catalog.remove(number)
    return moved


def redacted_split(store: Store, split: SplitRecord, place: Place) -> SplitRecord:
    """A split without some users' events. It keeps its checksum: that is its name, which texts carry."""
    return split.model_copy(update={"interactions_version": place[1], "counts": event_counts(store, place)})


def _redacted(
    store: Store, manifest: Manifest, eraser: TableEraser, made: Mapping[int, int]
) -> Manifest | None:
    """The successor, still under the original's number; None if nothing in the release is about the users."""
    places = [eraser.place_of(pin.spec, pin.table, pin.version) for pin in manifest.pins]
    gates = tuple(_unnamed(result, eraser.subject) for result in manifest.gates)
    same = all(place == (pin.table, pin.version) for place, pin in zip(places, manifest.pins, strict=True))
    if same and gates == manifest.gates:
        return None
    split = manifest.split
    for place, pin in zip(places, manifest.pins, strict=True):
        if split is not None and pin.spec.kind == "source" and pin.spec.feature == "interactions":
            split = redacted_split(store, split, place)
    return manifest.model_copy(
        update={
            "supersedes": manifest.number,
            "parent": _today(manifest.parent, made),
            "created_at": now(),
            "split": split,
            "pins": tuple(
                _pin_at(store, pin, place, made) for place, pin in zip(places, manifest.pins, strict=True)
            ),
            "gates": gates,
        }
    )


def _pin_at(store: Store, pin: TablePin, place: Place, made: Mapping[int, int]) -> TablePin:
    table, version = place
    carried = {"carried_from": _today(pin.carried_from, made)}
    if place == (pin.table, pin.version):
        return pin.model_copy(update=carried)
    facts = measure(store, pin.spec, version, table=table)
    store.protect(table, version)
    snapshot = None
    if pin.snapshot is not None:
        snapshot = write_snapshot(store, table, version, facts.vectors_checksum)
    return pin.model_copy(
        update={
            **carried,
            "table": table,
            "version": version,
            "num_rows": facts.num_rows,
            "num_failed": facts.num_failed,
            "checksum": facts.checksum,
            "fragments": facts.fragments,
            "snapshot": snapshot,
            "event_sets": facts.event_sets,
            "duplicate_text_share": facts.duplicate_text_share,
        }
    )


def _unnamed(result: GateResult, subject: Subject) -> GateResult:
    rows = tuple(row for row in result.rows if not ids_in_row(row) & subject.user_ids)
    note = str(subject.without_names(result.note))
    return (
        result
        if (rows, note) == (result.rows, result.note)
        else result.model_copy(update={"rows": rows, "note": note})
    )


def _today(number: int | None, made: Mapping[int, int]) -> int | None:
    return None if number is None else made.get(number, number)
