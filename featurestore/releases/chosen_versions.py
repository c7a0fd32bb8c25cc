"""What a release pins: the newest versions, or the last complete one of what is still being generated."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from featurestore import columns as c
from featurestore.adapters import events_learned_from, tuned_adapter
from featurestore.errors import LockHeldError, UnknownNameError
from featurestore.features import FeatureRegistry
from featurestore.gates.rules import event_sets_of, foreign_event_sets
from featurestore.release import Manifest, ReleaseCatalog, TablePin
from featurestore.spec import (
    AnySpec,
    CodesSpec,
    GraphSpec,
    ModelVectorSpec,
    RecommendationsSpec,
    SourceSpec,
    VectorSpec,
    table_name,
)
from featurestore.splits import SplitRecord
from featurestore.store import Store

SOURCE_PREFIX = "source."


@dataclass(frozen=True, slots=True)
class Chosen:
    """A feature version that a release would pin.

    Attributes:
        spec: What it is.
        carried: What the parent pins of it, if it stays as it was because its successor is incomplete.
        successor_rows: Rows that the successor has so far.
    """

    spec: AnySpec
    carried: TablePin | None = None
    successor_rows: int = 0

    @property
    def table(self) -> str:
        """Where its rows are: of a carried version perhaps beside the spec's own table, after an erasure."""
        return self.carried.table if self.carried else table_name(self.spec)


@dataclass(frozen=True, slots=True)
class Choice:
    """All that a release would pin.

    Attributes:
        tables: Sources, then features.
        left_out: What models and adapters made and stays behind: they learned from another split than the
            release's.
        left_out_tuned: Those of ``left_out`` that an adapter made.
    """

    tables: tuple[Chosen, ...]
    left_out: tuple[str, ...]
    left_out_tuned: tuple[str, ...] = ()


def choose_versions(
    store: Store,
    *,
    parent: Manifest | None,
    split: SplitRecord | None,
    features: Sequence[str] | None,
    carry: bool,
    held: Collection[str] = (),
) -> Choice:
    """Choose what a release pins.

    A text feature with fewer rows than there are entities is still being generated. If the parent pins a
    complete version of another spec, that one is carried into the release, with the vectors, graphs and
    semantic ids that were made of it. So is a feature on whose vectors, graphs or semantic ids another job
    works now: as a whole, for what is made of its texts must fit to them.

    Args:
        store: The store.
        parent: The release before.
        split: The current split.
        features: Features (``item_cot``) or views (``item_cot.fused``); all if None.
        carry: Whether complete versions are carried; if not, every head is chosen as it is.
        held: Features that another job works on.

    Raises:
        UnknownNameError: If one of ``features`` is not in the store.
        LockHeldError: If what the parent pins of a held feature was made from events of another split.
        StoreError: If what says where an adapter came from is damaged.
    """
    named = _heads(store, features)
    behind = _behind(store, named, split)
    heads = [spec for spec in named if spec.digest not in behind]
    chosen = [Chosen(spec) for spec in heads]
    if carry and parent is not None:
        chosen = _with_carried(store, heads, parent, held)
        _require_this_split([each.carried for each in chosen if each.spec.feature in held], split)
    return Choice(
        (*(Chosen(spec) for spec in _sources(store)), *chosen),
        _names(spec for spec in named if spec.digest in behind),
        _names(spec for spec in named if isinstance(behind.get(spec.digest), VectorSpec)),
    )


def upstream_of(spec: AnySpec) -> str | None:
    """Digest of the version that this one was made of; None if it was made of no other feature."""
    if isinstance(spec, VectorSpec):
        return spec.text_digest
    return spec.vector_digest if isinstance(spec, GraphSpec | CodesSpec) else None


def _sources(store: Store) -> list[SourceSpec]:
    names = [table for table in store.tables() if table.startswith(SOURCE_PREFIX)]
    return [SourceSpec(feature=name.removeprefix(SOURCE_PREFIX), view="rows") for name in names]


def _heads(store: Store, features: Sequence[str] | None) -> list[AnySpec]:
    heads = [head.spec for head in FeatureRegistry(store).heads()]
    if features is None:
        return heads
    known = {name for spec in heads for name in (spec.feature, f"{spec.feature}.{spec.view}")}
    for name in features:
        if name not in known:
            raise UnknownNameError("feature", name, known)
    wanted = set(features)
    return [spec for spec in heads if {spec.feature, f"{spec.feature}.{spec.view}"} & wanted]


def _behind(store: Store, specs: Sequence[AnySpec], split: SplitRecord | None) -> dict[str, AnySpec]:
    """Digest of each spec that may not be released → what learned from another split: it, or its upstream."""
    catalog = ReleaseCatalog(store)
    numbers = catalog.numbers()
    behind: dict[str, AnySpec] = {}
    for spec in specs:
        match spec:
            case RecommendationsSpec():
                is_behind = _is_foreign(spec.release, numbers, catalog, split)
            case ModelVectorSpec():
                is_behind = _names_another(store, table_name(spec), split)
            case VectorSpec():
                is_behind = _learned(store, spec) and _names_another(store, table_name(spec), split)
            case _:
                is_behind = False
        behind |= {spec.digest: spec} if is_behind else {}
    for spec in specs:
        upstream = upstream_of(spec)
        if upstream in behind:
            behind.setdefault(spec.digest, behind[upstream])
    return behind


def _names(specs: Iterable[AnySpec]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{spec.feature}.{spec.view}" for spec in specs))


def _learned(store: Store, spec: VectorSpec) -> bool:
    """Whether the encoder is tuned on events, so that new texts alone cannot bring it to another split."""
    adapter = tuned_adapter(spec)
    return spec.aligned_with is not None or (
        adapter is not None and events_learned_from(store.objects, adapter) is not None
    )


def _names_another(store: Store, table: str, split: SplitRecord | None) -> bool:
    """Whether rows were made of events of another split."""
    if split is None or store.latest(table) is None:
        return False
    named = pl.DataFrame(store.read(table, columns=[c.EVENT_SET]))[c.EVENT_SET].drop_nulls().unique()
    return not named.str.starts_with(split.event_set("")).all()


def _is_foreign(
    release: str, numbers: Sequence[int], catalog: ReleaseCatalog, split: SplitRecord | None
) -> bool:
    """Whether a release was of another split, or was removed so that nobody knows."""
    if not release.isdecimal() or not numbers or int(release) > numbers[-1]:
        return False
    number = catalog.successors().get(int(release), int(release))
    return number not in numbers or catalog.manifest(number).split != split


def _with_carried(
    store: Store, heads: Sequence[AnySpec], parent: Manifest, held: Collection[str]
) -> list[Chosen]:
    pinned = {(pin.spec.kind, pin.spec.feature, pin.spec.view): pin for pin in parent.pins}
    before = {spec.digest: pinned.get((spec.kind, spec.feature, spec.view)) for spec in heads}
    rows = {spec.digest: _num_rows(store, table_name(spec)) for spec in heads}
    unfinished = _unfinished_features(store, heads, before, rows, parent)
    digests: set[str] = set()
    chosen: dict[str, Chosen] = {}
    for spec in sorted(heads, key=_depth):
        pin = before[spec.digest]
        kept = Chosen(spec)
        is_held = spec.feature in held and spec.kind != "recommendations"
        if pin is not None and (is_held or _is_carried(spec, pin, unfinished, digests)):
            kept = Chosen(pin.spec, _carried(pin, parent), rows[spec.digest])
        chosen[spec.digest] = kept
        digests.add(kept.spec.digest)
    return [chosen[spec.digest] for spec in heads]


def _unfinished_features(
    store: Store,
    heads: Sequence[AnySpec],
    before: dict[str, TablePin | None],
    rows: dict[str, int],
    parent: Manifest,
) -> set[str]:
    """Text features of which a view is incomplete that the parent has complete under another spec."""
    unfinished: set[str] = set()
    for spec in heads:
        pin = before[spec.digest]
        if spec.kind != "text" or spec.entity is None or pin is None or pin.spec.digest == spec.digest:
            continue
        entities = f"{SOURCE_PREFIX}{spec.entity}s"
        entities_before = next((each.num_rows for each in parent.pins if each.table == entities), 0)
        if rows[spec.digest] < _num_rows(store, entities) and pin.num_rows >= entities_before:
            unfinished.add(spec.feature)
    return unfinished


def _is_carried(spec: AnySpec, pin: TablePin, unfinished: Collection[str], digests: Collection[str]) -> bool:
    """Whether the parent's version takes the head's place: a text, or what only fits to a carried one."""
    if pin.spec.digest == spec.digest:
        return False
    if spec.kind == "text":
        return spec.feature in unfinished
    upstream = upstream_of(spec)
    return upstream is not None and upstream not in digests and upstream_of(pin.spec) in digests


def _require_this_split(pins: Sequence[TablePin | None], split: SplitRecord | None) -> None:
    """Refuse to wait for a job with rows that the split of today does not allow."""
    for pin in pins:
        if pin is not None and foreign_event_sets(event_sets_of(pin.spec, pin.event_sets), split):
            raise LockHeldError(
                f"another job works on {pin.name}, and what the newest release has of it was made from "
                "events of an earlier split: no release can be made before that job is done.",
                hint="Publish, or refresh, again when it is.",
            )


def _carried(pin: TablePin, parent: Manifest) -> TablePin:
    return pin.model_copy(update={"carried_from": pin.carried_from or parent.number})


def _depth(spec: AnySpec) -> int:
    """Texts come before vectors, vectors before what is made of them."""
    return {"text": 0, "vector": 1}.get(spec.kind, 2)


def _num_rows(store: Store, table: str) -> int:
    latest = store.latest(table)
    return latest.num_rows if latest else 0
