"""Which tokens may come next, so that what is written is an item: looked up for all beams at once.

`CatalogueTrie` allows every item, `CandidateTrie` a line's own candidates. Both know beginnings of items as
states: whatever a beam has written is a row of a table, and what may follow is another row of it. Items to be
left out are refused at their last token, the only one that is theirs alone.

Letters: B lines, k beams, I items, w levels, s digits of a level, c candidates.
"""

from typing import Protocol, TypeAlias

import numpy as np
import torch

from recommender.data import IntArray

State: TypeAlias = torch.Tensor


class Trie(Protocol):
    """Beginnings of items."""

    def begin(self, num_lines: int) -> State:
        """States of one beam per line that has written nothing."""
        ...

    def allowed(self, level: int, state: State) -> torch.Tensor:
        """(B, k, s) bool: digits of a level that continue a beam."""
        ...

    def follow(self, level: int, state: State, beams: torch.Tensor, digits: torch.Tensor) -> State:
        """States of new beams: (B, k') beams that they continue, and (B, k') digits that were allowed."""
        ...

    def items(self, state: State) -> torch.Tensor:
        """(B, k) int64 item rows of beams that have written all levels; -1 of those that nothing followed."""
        ...


class CatalogueTrie:
    """All items. A state is (B, k) int64: a beginning's number, or -1.

    Memory: 8 bytes times the sum over levels of beginnings times digits.

    Args:
        children: Of each level (beginnings, s) int64: the beginning of the next level, of the last level the
            item; -1 where there is none.
        left_out: (B, I) bool items that a line may not write; None allows all.
    """

    def __init__(self, children: list[torch.Tensor], left_out: torch.Tensor | None = None) -> None:
        self._children = children
        self._left_out = left_out

    @classmethod
    def of(cls, item_digits: IntArray) -> "CatalogueTrie":
        """The trie of (I, w) int64 digits, distinct."""
        return cls([torch.from_numpy(table) for table in _children(item_digits)])

    def without(self, left_out: torch.Tensor) -> "CatalogueTrie":
        """The same tables, with items to be left out of each line; on the device of these."""
        return CatalogueTrie([table.to(left_out.device) for table in self._children], left_out)

    def begin(self, num_lines: int) -> State:
        """See `Trie.begin`."""
        return torch.zeros(num_lines, 1, dtype=torch.int64, device=self._children[0].device)

    def allowed(self, level: int, state: State) -> torch.Tensor:
        """See `Trie.allowed`."""
        following = self._children[level][state.clamp(min=0)]  # (B, k, s)
        found = (following >= 0) & (state >= 0).unsqueeze(2)
        if level < len(self._children) - 1 or self._left_out is None:
            return found
        items = following.clamp(min=0).flatten(1)  # (B, k s)
        return found & ~self._left_out.gather(1, items).view_as(found)

    def follow(self, level: int, state: State, beams: torch.Tensor, digits: torch.Tensor) -> State:
        """See `Trie.follow`."""
        before = state.gather(1, beams)
        return torch.where(before >= 0, self._children[level][before.clamp(min=0), digits], -1)

    def items(self, state: State) -> torch.Tensor:
        """See `Trie.items`: the last level's beginnings are items."""
        return state


class CandidateTrie:
    """Some items of each line. A state is (B, k, c) bool: candidates that a beam may still become.

    Args:
        item_digits: (I, w) int64, distinct.
        candidates: (B, c) int64 item rows, -1 where a line has fewer.
        left_out: (B, I) bool items that a line may not write; None allows all.
    """

    def __init__(
        self, item_digits: IntArray, candidates: IntArray, left_out: torch.Tensor | None = None
    ) -> None:
        device = torch.device("cpu") if left_out is None else left_out.device
        self._sizes = (item_digits.max(axis=0) + 1).tolist()
        self._items = torch.from_numpy(candidates).to(device)
        self._digits = torch.from_numpy(item_digits[candidates]).to(device)  # (B, c, w)
        self._usable = self._items >= 0
        if left_out is not None:
            self._usable = self._usable & ~left_out.gather(1, self._items.clamp(min=0))

    def begin(self, num_lines: int) -> State:
        """See `Trie.begin`."""
        del num_lines
        return self._usable.unsqueeze(1)

    def allowed(self, level: int, state: State) -> torch.Tensor:
        """See `Trie.allowed`."""
        digits = self._digits[:, None, :, level].expand_as(state)  # (B, k, c)
        counts = torch.zeros(*state.shape[:2], self._sizes[level], device=state.device)
        return counts.scatter_add_(2, digits, state.float()) > 0

    def follow(self, level: int, state: State, beams: torch.Tensor, digits: torch.Tensor) -> State:
        """See `Trie.follow`."""
        before = state.gather(1, beams.unsqueeze(2).expand(-1, -1, state.shape[2]))
        return before & (self._digits[:, None, :, level] == digits.unsqueeze(2))

    def items(self, state: State) -> torch.Tensor:
        """See `Trie.items`; a candidate that stands twice is one item."""
        found = self._items.gather(1, state.int().argmax(dim=2))
        return torch.where(state.any(dim=2), found, -1)


def _children(item_digits: IntArray) -> list[IntArray]:
    """What `CatalogueTrie` is made of."""
    tables: list[IntArray] = []
    nodes = np.zeros(len(item_digits), np.int64)  # (I,) each item's beginning so far
    for level in range(item_digits.shape[1]):
        digits, is_last = item_digits[:, level], level == item_digits.shape[1] - 1
        size = int(digits.max()) + 1
        table = np.full((int(nodes.max()) + 1, size), -1, np.int64)
        _, following = np.unique(nodes * size + digits, return_inverse=True)
        table[nodes, digits] = np.arange(len(item_digits)) if is_last else following
        tables.append(table)
        nodes = following
    return tables
