"""Identical vectors are searched once: n nodes in, n neighbour lists out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from featurestore.graphs import order_keys
from featurestore.graphs.candidates import Candidates
from featurestore.graphs.exact import exact_candidates
from featurestore.graphs.nearest import cut, nearest
from featurestore.graphs.order_keys import Keys
from featurestore.graphs.ranking import CheckedVectors

Rows = npt.NDArray[np.int64]

_DIGEST_BYTES = 16
_EXPANDED_LISTS = 1024
"""Lists expanded at once; the longest takes width² keys of 8 bytes."""


@dataclass(frozen=True, slots=True)
class Twins:
    """Groups of rows that hold the same bytes.

    Attributes:
        first: (u,) the lowest row of each group, ascending.
        group_of: (n,) the group of each row.
        members: (n,) rows, group after group, ascending inside a group.
        starts: (u + 1,) the group's members are ``members[starts[g]:starts[g + 1]]``.
    """

    first: Rows
    group_of: Rows
    members: Rows
    starts: Rows

    @property
    def all_differ(self) -> bool:
        """Whether no row has a twin."""
        return len(self.first) == len(self.members)


def vector_digests(values: npt.NDArray[np.float32]) -> list[bytes]:
    """A digest of 16 bytes for each row's bytes."""
    return [blake3(row).digest(length=_DIGEST_BYTES) for row in np.ascontiguousarray(values).view(np.uint8)]


def find_twins(digests: Sequence[bytes]) -> Twins:
    """Group rows by the digests of their vectors."""
    place: dict[bytes, int] = {}
    group_of = np.fromiter((place.setdefault(each, len(place)) for each in digests), np.int64, len(digests))
    members = np.argsort(group_of, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(group_of, minlength=len(place)))]).astype(np.int64)
    return Twins(members[starts[:-1]], group_of, members, starts)


def exact_lists(
    rows: CheckedVectors,
    twins: Twins,
    queries: Rows,
    *,
    num_neighbors: int,
    width: int,
    on_done: Callable[[int, int], None],
) -> tuple[Candidates, int]:
    """Candidates of some rows, certain for the first ``num_neighbors``, and the pairs that were scored.

    Args:
        rows: n vectors.
        twins: Which of them are equal.
        queries: (q,) rows.
        num_neighbors: k.
        width: Candidates per row, at least k.
        on_done: Told how many of how many distinct queries were searched.
    """
    asked, position = np.unique(twins.group_of[queries], return_inverse=True)  # groups
    distinct = rows if twins.all_differ else rows.take(twins.first)
    found = nearest(distinct, asked, width, on_done=lambda done: on_done(done, len(asked)))
    if twins.all_differ:
        lists = found.take(position)
    else:
        lists = _of_nodes(_with_twins(found, asked, twins), queries, position, width)
    unsure = lists.short_of(num_neighbors)
    lists.put(unsure, exact_candidates(rows, queries[unsure], width))
    return lists, len(asked) * len(distinct) + len(unsure) * len(rows)


def _with_twins(found: Candidates, asked: Rows, twins: Twins) -> Candidates:
    """Lists of groups as lists of rows, a group's own members included: one entry wider."""
    width = found.width + 1
    keys = np.empty((len(asked), width), np.uint64)
    boundary = np.empty(len(asked), np.uint64)
    for start in range(0, len(asked), _EXPANDED_LISTS):
        part = slice(start, start + _EXPANDED_LISTS)
        limits = _row_boundary(found.boundary[part], twins)
        expanded = _expanded(found.keys[part], asked[part], twins)
        expanded[expanded > limits[:, None]] = order_keys.NONE
        keys[part], boundary[part] = cut(expanded, limits, width)
    return Candidates(keys, boundary)


def _row_boundary(boundary: Keys, twins: Twins) -> Keys:
    """Boundaries between groups as boundaries between rows: a group's place is that of its lowest row."""
    groups, scores = order_keys.decode(boundary)
    names_group = (groups >= 0) & (groups < len(twins.first))
    rows = twins.first[np.where(names_group, groups, 0)]
    return np.where(names_group, order_keys.encode(scores, rows), boundary)


def _expanded(keys: Keys, asked: Rows, twins: Twins) -> Keys:
    """All rows of the named groups, so many of each that a cut is seen: (q, longest) keys, unsorted."""
    groups, scores = order_keys.decode(keys)
    groups = np.concatenate([asked[:, None], groups], axis=1)  # the group itself comes first
    scores = np.concatenate([np.ones((len(asked), 1), np.float32), scores], axis=1)
    sizes = np.minimum(np.diff(twins.starts)[groups], keys.shape[1] + 2)  # one more than is kept
    sizes[groups < 0] = 0
    offsets = np.cumsum(sizes, axis=1) - sizes  # (q, width + 1) places in the expanded list
    expanded = np.full((len(keys), int(sizes.sum(axis=1).max(initial=1))), order_keys.NONE, np.uint64)
    flat = sizes.ravel()
    within = np.arange(flat.sum()) - np.repeat(np.cumsum(flat) - flat, flat)  # 0, 1, … in each group
    members = twins.members[np.repeat(twins.starts[groups].ravel(), flat) + within]
    lists = np.repeat(np.arange(len(keys)), sizes.sum(axis=1))
    places = np.repeat(offsets.ravel(), flat) + within
    expanded[lists, places] = order_keys.encode(np.repeat(scores.ravel(), flat), members)
    return expanded


def _of_nodes(groups: Candidates, queries: Rows, position: Rows, width: int) -> Candidates:
    """The list of each query's group, without the query."""
    keys = groups.keys[position]
    keys[order_keys.decode(keys)[0] == queries[:, None]] = order_keys.NONE
    return Candidates(*cut(keys, groups.boundary[position], width))
