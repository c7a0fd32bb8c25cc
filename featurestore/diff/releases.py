"""The comparison of two releases, put together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import polars as pl

from featurestore import columns as c
from featurestore.diff.codes import diff_codes
from featurestore.diff.graphs import diff_graphs
from featurestore.diff.result import (
    Change,
    CodesDiff,
    GateDelta,
    GraphDiff,
    ReleaseDiff,
    ReleaseFacts,
    TableCounts,
    TextDiff,
    VectorDiff,
)
from featurestore.diff.texts import diff_texts
from featurestore.diff.vectors import diff_vectors
from featurestore.errors import UnknownNameError
from featurestore.ids import ExternalId
from featurestore.pinned_vectors import open_vectors
from featurestore.progress import Progress, no_progress
from featurestore.release import Manifest, ReleaseCatalog, TablePin
from featurestore.spec import GraphSpec, Kind
from featurestore.store import Store


@dataclass(frozen=True, slots=True)
class _Sides:
    """One table in the two releases; None where a release has no such table."""

    before: TablePin | None
    after: TablePin | None


@dataclass(frozen=True, slots=True)
class _Pair:
    """One table that both releases have, with other rows."""

    before: TablePin
    after: TablePin


def diff_releases(
    store: Store,
    before: str,
    after: str,
    *,
    features: Sequence[str] | None = None,
    limit: int = 10,
    progress: Progress = no_progress,
) -> ReleaseDiff:
    """Compare two releases of a store.

    Tables whose rows are the same are not read. For people, not for models: texts that read held-out events
    are compared like all others.

    Args:
        store: Holds both.
        before: Release number or alias.
        after: Release number or alias.
        features: Feature names (``item_cot``) or views (``item_cot.fused``) to compare; all if None.
        limit: Examples of each feature at most: rewritten texts, moved entities.
        progress: Told per kind.

    Raises:
        MissingVersionError: Listing the aliases and releases there are.
        UnknownNameError: If neither release has one of ``features``.
    """
    catalog = ReleaseCatalog(store)
    old, new = catalog.resolve(before), catalog.resolve(after)
    sides = _side_by_side(old, new, features)
    pairs = [_Pair(s.before, s.after) for s in sides if s.before and s.after and not _same(s.before, s.after)]
    progress(0, 4, "texts")
    texts = tuple(diff_texts(store, p.before, p.after, limit=limit) for p in _of(pairs, "text"))
    progress(1, 4, "vectors")
    vectors = {p.after.spec.digest: _vectors(store, p, limit) for p in _of(pairs, "vector")}
    progress(2, 4, "graphs")
    graphs = tuple(_graph(store, p, vectors, limit) for p in _of(pairs, "graph"))
    progress(3, 4, "semantic ids")
    codes = tuple(diff_codes(store, p.before, p.after, limit=limit) for p in _of(pairs, "codes"))
    progress(4, 4)
    aliases = catalog.aliases()
    moves = tuple(vectors.values())
    return ReleaseDiff(
        before=_facts(old, aliases),
        after=_facts(new, aliases),
        counts=tuple(_counts(side) for side in sides),
        gates=_gate_deltas(old, new, {_name(side) for side in sides}),
        texts=texts,
        vectors=moves,
        graphs=graphs,
        codes=codes,
        titles=_titles(store, (old, new), set(_shown_items(texts, moves, graphs, codes))),
    )


def _side_by_side(old: Manifest, new: Manifest, features: Sequence[str] | None) -> list[_Sides]:
    """Every table of either, by kind and name."""
    by_side = [{(pin.spec.kind, pin.name): pin for pin in manifest.pins} for manifest in (old, new)]
    known = sorted(by_side[0].keys() | by_side[1].keys())
    if features is not None:
        names = {part for _, name in known for part in (name, name.partition(".")[0])}
        for feature in features:
            if feature not in names:
                raise UnknownNameError("feature", feature, names)
        known = [key for key in known if {key[1], key[1].partition(".")[0]} & set(features)]
    return [_Sides(*(side.get(key) for side in by_side)) for key in known]


def _same(before: TablePin, after: TablePin) -> bool:
    same_rows = before.version == after.version or before.checksum == after.checksum
    return before.table == after.table and same_rows


def _of(pairs: Iterable[_Pair], kind: Kind) -> Iterator[_Pair]:
    return (pair for pair in pairs if pair.after.spec.kind == kind)


def _vectors(store: Store, pair: _Pair, limit: int) -> VectorDiff:
    before, after = (open_vectors(store.objects, pin) for pin in (pair.before, pair.after))
    return diff_vectors(before, after, limit=limit)


def _graph(store: Store, pair: _Pair, vectors: Mapping[str, VectorDiff], limit: int) -> GraphDiff:
    """Graphs of pooled users have no vectors of their own to tell who moved."""
    spec = pair.after.spec
    own = vectors.get(spec.vector_digest) if isinstance(spec, GraphSpec) and spec.pooling == "own" else None
    moved = {move.id: move.distance for move in own.moves} if own else {}
    return diff_graphs(store, pair.before, pair.after, moved=moved, limit=limit)


def _facts(manifest: Manifest, aliases: Mapping[str, int]) -> ReleaseFacts:
    return ReleaseFacts(
        number=manifest.number,
        created_at=manifest.created_at,
        aliases=tuple(alias for alias, number in aliases.items() if number == manifest.number),
        split=manifest.split.checksum[:16] if manifest.split else None,
    )


def _name(sides: _Sides) -> str:
    pin = sides.after or sides.before
    return f"{pin.spec.kind} {pin.name}" if pin else ""


def _counts(sides: _Sides) -> TableCounts:
    before, after = sides.before, sides.after
    kind, _, name = _name(sides).partition(" ")
    return TableCounts(
        kind=kind,
        name=name,
        rows_before=before.num_rows if before else None,
        rows_after=after.num_rows if after else None,
        failed_before=before.num_failed if before else None,
        failed_after=after.num_failed if after else None,
        change=_change(before, after),
    )


def _change(before: TablePin | None, after: TablePin | None) -> Change:
    if before is None or after is None:
        return "added" if before is None else "removed"
    if before.table != after.table:
        return "spec"
    return "same" if _same(before, after) else "rows"


def _gate_deltas(old: Manifest, new: Manifest, names: set[str]) -> tuple[GateDelta, ...]:
    earlier, later = (
        {(gate.feature, gate.gate, gate.stratum): gate for gate in manifest.gates if gate.feature in names}
        for manifest in (old, new)
    )
    deltas: list[GateDelta] = []
    for key in sorted(earlier.keys() | later.keys()):
        before, after = earlier.get(key), later.get(key)
        last = after or earlier[key]
        deltas.append(
            GateDelta(
                gate=last.gate,
                feature=last.feature,
                stratum=last.stratum,
                before=before.value if before else None,
                after=after.value if after else None,
                delta=after.value - before.value if before and after else None,
                threshold=last.threshold,
                passed=last.passed,
            )
        )
    return tuple(deltas)


def _shown_items(
    texts: Iterable[TextDiff],
    vectors: Iterable[VectorDiff],
    graphs: Iterable[GraphDiff],
    codes: Iterable[CodesDiff],
) -> Iterator[ExternalId]:
    for part in chain(texts, graphs, codes):
        if part.entity == "item":
            yield from (example.id for example in part.examples)
    for moved in vectors:
        if moved.entity == "item":
            yield from (move.id for move in moved.moves)
    for example in chain.from_iterable(graph.examples for graph in graphs if graph.entity == "item"):
        yield from (*example.lost, *example.gained)


def _titles(store: Store, manifests: Iterable[Manifest], ids: set[ExternalId]) -> dict[ExternalId, str]:
    """Titles of items; the later release's, else the earlier one's."""
    titles: dict[ExternalId, str] = {}
    for manifest in manifests:
        for pin in manifest.pins:
            if pin.spec.kind == "source" and pin.spec.feature == "items":
                columns = [c.ITEM_ID, c.TITLE]
                rows = pl.DataFrame(store.read(pin.table, version=pin.version, columns=columns))
                wanted = rows.filter(pl.col(c.ITEM_ID).is_in(list(ids)), pl.col(c.TITLE).is_not_null())
                titles |= dict(wanted.iter_rows())
    return titles
