"""Exact neighbour lists from the lists of an earlier state: the cost grows with what changed.

Every list is complete up to its boundary. Rows that changed or are gone are struck from all lists. One
product, of the changed rows with all rows, gives the changed rows their lists and tells which other lists
they enter. A list is exact as long as k entries at or before its boundary remain; otherwise it is computed
anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from featurestore.graphs import order_keys
from featurestore.graphs.candidates import SPARE, Candidates
from featurestore.graphs.nearest import Entrants, cut, nearest_and_entrants
from featurestore.graphs.order_keys import Keys
from featurestore.graphs.ranking import CheckedVectors, pair_scores
from featurestore.graphs.twins import exact_lists, find_twins
from featurestore.spec import Frozen

Rows = npt.NDArray[np.int64]

_REBUILT_SHARE = 0.5
"""From this share of changed or deleted rows on, a rebuild is cheaper: most lists would be short anyway."""


class GraphWork(Frozen):
    """What finding the neighbours took."""

    num_changed: int
    """Nodes that are new or whose vector is another one; all of them in a build from nothing."""
    num_deleted: int
    num_recomputed: int
    """Unchanged nodes whose list was searched anew, because too few of its candidates were left."""
    num_full_rows: int
    """Nodes of a build from nothing; of identical vectors only one counts."""
    gemm_flops: int
    """Multiplications and additions of the matrix products: twice d for each scored pair."""
    full_gemm_flops: int
    """The same of a build from nothing."""


@dataclass(frozen=True, slots=True)
class GraphNodes:
    """What neighbours are found for.

    Attributes:
        ids: (n,) external ids, ascending.
        digests: Of the n vectors.
        rows: The n vectors.
    """

    ids: npt.NDArray[np.object_]
    digests: Sequence[bytes]
    rows: CheckedVectors


@dataclass(frozen=True, slots=True)
class KnownLists:
    """Lists of an earlier state of the nodes.

    Attributes:
        ids: (n,) external ids, ascending.
        digests: Of the vectors that the lists were made of.
        candidates: Lists of the n nodes, by the rows of ``ids``.
    """

    ids: npt.NDArray[np.object_]
    digests: Sequence[bytes]
    candidates: Candidates


def updated_lists(
    nodes: GraphNodes,
    known: KnownLists | None,
    num_neighbors: int,
    *,
    on_done: Callable[[int, int], None],
) -> tuple[Candidates, GraphWork]:
    """Exact lists of all nodes.

    Args:
        nodes: The nodes as they are now.
        known: Lists of an earlier state; None builds from nothing. So does another width, and a change of
            half the nodes.
        num_neighbors: k: so many entries of each list are certain; `SPARE` more are kept.
        on_done: Told how many of how many rows were searched.
    """
    width = num_neighbors + SPARE
    twins = find_twins(nodes.digests)
    full_pairs, num_rows = len(twins.first) ** 2, len(nodes.ids)
    flops_per_pair = 2 * nodes.rows.values.shape[1]

    def work(changed: int, deleted: int, recomputed: int, pairs: int) -> GraphWork:
        return GraphWork(
            num_changed=changed,
            num_deleted=deleted,
            num_recomputed=recomputed,
            num_full_rows=len(twins.first),
            gemm_flops=flops_per_pair * pairs,
            full_gemm_flops=flops_per_pair * full_pairs,
        )

    def search(queries: Rows) -> tuple[Candidates, int]:
        return exact_lists(
            nodes.rows, twins, queries, num_neighbors=num_neighbors, width=width, on_done=on_done
        )

    change = None if known is None or known.candidates.width != width else _change(known, nodes)
    if known is None or change is None or change.size >= _REBUILT_SHARE * num_rows:
        lists, pairs = search(np.arange(num_rows))
        return lists, work(num_rows, change.num_deleted if change else 0, 0, pairs)
    lists = _carried(known.candidates, change, num_rows)
    _enter(nodes.rows, lists, change.changed)
    short = lists.short_of(num_neighbors)
    again, pairs = search(short)
    lists.put(short, again)
    recomputed = len(np.setdiff1d(short, change.changed))
    pairs += len(change.changed) * num_rows
    return lists, work(len(change.changed), change.num_deleted, recomputed, pairs)


@dataclass(frozen=True, slots=True)
class _Change:
    """How nodes moved on.

    Attributes:
        row_of: (old n,) the row now of each node whose vector is the same; -1 of the others. Ascending else.
        changed: (m,) rows whose vector is new or another one.
        num_deleted: Nodes that are gone.
    """

    row_of: Rows
    changed: Rows
    num_deleted: int

    @property
    def size(self) -> int:
        return len(self.changed) + self.num_deleted


def _change(known: KnownLists, nodes: GraphNodes) -> _Change:
    place = {name: row for row, name in enumerate(nodes.ids)}
    now = [place.get(name, -1) for name in known.ids]
    same = [
        row if row >= 0 and nodes.digests[row] == digest else -1
        for row, digest in zip(now, known.digests, strict=True)
    ]
    row_of = np.array(same, np.int64)
    changed = np.setdiff1d(np.arange(len(nodes.ids)), row_of)
    return _Change(row_of, changed, now.count(-1))


def _carried(known: Candidates, change: _Change, num_rows: int) -> Candidates:
    """The lists that are still known, by the rows of now; what changed or is gone is struck out.

    The lists of changed rows are empty, with a boundary before everything: nothing is known of them.
    """
    stays = change.row_of >= 0
    rows, scores = order_keys.decode(known.keys[stays])
    keys = order_keys.encode(scores, np.where(rows >= 0, change.row_of[rows], -1))
    keys.sort(axis=1)
    carried = Candidates(
        np.full((num_rows, known.width), order_keys.NONE, np.uint64), np.zeros(num_rows, np.uint64)
    )
    carried.put(change.row_of[stays], Candidates(keys, _moved_boundary(known.boundary[stays], change.row_of)))
    return carried


def _moved_boundary(boundary: Keys, row_of: Rows) -> Keys:
    """Boundaries by the rows of now: behind the last remaining row that was at or before them."""
    rows, scores = order_keys.decode(boundary)
    names_row = (rows >= 0) & (rows < len(row_of))
    remaining = np.maximum.accumulate(row_of)[np.where(names_row, rows, 0)]
    before_all = order_keys.encode(scores, np.zeros(len(rows), np.int64)) - np.uint64(1)
    moved = np.where(remaining >= 0, order_keys.encode(scores, remaining), before_all)
    return np.where(names_row, moved, boundary)


def _enter(rows: CheckedVectors, lists: Candidates, changed: Rows) -> None:
    """Give changed rows their lists, and put them into the lists of the others that they enter."""
    floors = np.where(lists.boundary == order_keys.NONE, -np.inf, order_keys.decode(lists.boundary)[1])
    floors = floors.astype(np.float32)
    floors[changed] = np.inf
    own, entrants = nearest_and_entrants(rows, changed, lists.width, floors=floors)
    lists.put(changed, own)
    named = _entering(rows, lists, changed, entrants)
    if named is not None:
        touched, keys = named
        merged = np.concatenate([lists.keys[touched], keys], axis=1)
        lists.put(touched, Candidates(*cut(merged, lists.boundary[touched], lists.width)))


def _entering(
    rows: CheckedVectors, lists: Candidates, changed: Rows, entrants: Entrants
) -> tuple[Rows, Keys] | None:
    """The lists that somebody enters, and the best ``width`` who do: (t,) rows and (t, width) keys."""
    others = changed[entrants.queries]
    keys = order_keys.encode(pair_scores(rows, entrants.rows, others[:, None])[:, 0], others)
    enters = keys <= lists.boundary[entrants.rows]
    targets, keys = entrants.rows[enters], keys[enters]
    if not len(targets):
        return None
    order = np.lexsort((keys, targets))
    targets, keys = targets[order], keys[order]
    touched, first, counts = np.unique(targets, return_index=True, return_counts=True)
    place = np.arange(len(targets)) - np.repeat(first, counts)  # 0, 1, … in each list
    fits = place < lists.width
    best = np.full((len(touched), lists.width), order_keys.NONE, np.uint64)
    best[np.repeat(np.arange(len(touched)), counts)[fits], place[fits]] = keys[fits]
    return touched, best
