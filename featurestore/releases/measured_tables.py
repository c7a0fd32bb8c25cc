"""What is measured of all that a release would pin: only what the parent does not know already."""

from featurestore.consistency import with_outdated_vectors
from featurestore.fragment_sums import KnownSums
from featurestore.progress import Progress
from featurestore.release import Manifest, TablePin
from featurestore.releases.chosen_versions import Choice, Chosen
from featurestore.source_tables import INTERACTIONS
from featurestore.spec import AnySpec, table_name
from featurestore.splits import SplitRecord
from featurestore.store import Store
from featurestore.table_facts import TableFacts, measure


def measure_chosen(
    store: Store,
    choice: Choice,
    split: SplitRecord | None,
    parent: Manifest | None,
    progress: Progress,
) -> list[tuple[AnySpec, TableFacts]]:
    """Measure every table of a choice, in its order.

    Args:
        store: Holds the tables.
        choice: What would be pinned.
        split: The current split, which names the version of the events.
        parent: The release before: what it pins at the same version is not read again.
        progress: Told per table.

    Raises:
        MissingVersionError: If a version that is carried, or that the split names, is gone.
    """
    pins = {pin.spec.digest: pin for pin in (parent.pins if parent and parent.format_version > 1 else ())}
    tables: list[tuple[AnySpec, TableFacts]] = []
    for done, chosen in enumerate(choice.tables):
        spec = chosen.spec
        progress(done, len(choice.tables), table_name(spec))
        version = chosen.carried.version if chosen.carried else _version(store, spec, split)
        pin = pins.get(spec.digest)
        pin = pin if pin and pin.table == chosen.table else None
        is_known = pin is not None and pin.version == version
        tables.append((spec, _facts_of(pin) if pin and is_known else _facts(store, chosen, version, pin)))
    unchanged = {digest: (pin.table, pin.version) for digest, pin in pins.items()}
    tables = with_outdated_vectors(store, tables, unchanged=unchanged)
    progress(len(choice.tables), len(choice.tables))
    return tables


def _version(store: Store, spec: AnySpec, split: SplitRecord | None) -> int:
    """The newest version; of the events, the one the current split was made of. 0 if there is none."""
    if split is not None and table_name(spec) == INTERACTIONS:
        return split.interactions_version
    latest = store.latest(table_name(spec))
    return latest.version if latest else 0


def _facts(store: Store, chosen: Chosen, version: int, before: TablePin | None) -> TableFacts:
    if not version:
        return TableFacts(table=chosen.table, version=0, num_rows=0, checksum="")
    known = KnownSums(before.version, before.fragments) if before else None
    return measure(store, chosen.spec, version, known, table=chosen.table)


def _facts_of(pin: TablePin) -> TableFacts:
    """What a released pin says: its ids were unique and its vectors sound, or it would not be released."""
    return TableFacts(
        table=pin.table,
        version=pin.version,
        num_rows=pin.num_rows,
        num_failed=pin.num_failed,
        duplicate_text_share=pin.duplicate_text_share,
        event_sets=pin.event_sets,
        checksum=pin.checksum,
        fragments=pin.fragments,
        vectors_checksum=pin.snapshot.rpartition("/")[2] if pin.snapshot else "",
    )
