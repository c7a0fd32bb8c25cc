"""Keys and values of running sequences, each in a row of its own, so that one may join or leave at any step.

Stands in for the caches of transformers, in which all sequences of a batch have one length: here every row
has its own, and a model is told by its attention mask where each ends.
"""

import torch
from torch import Tensor


class SlotCache:
    """Key-value buffers of shape (rows, heads, columns, head dim), two a layer; a column is a position.

    The model calls `update` once a layer; `aim` says beforehand which rows and columns that is about.

    Args:
        bytes_per_token: Of all layers together.
        max_bytes: Size at most.
    """

    def __init__(self, *, bytes_per_token: int, max_bytes: int) -> None:
        self.max_tokens = max(1, max_bytes // bytes_per_token)
        """Rows times columns at most."""
        self.num_rows = 0
        self.num_columns = 0
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self._rows = slice(0)
        self._row_index = torch.empty(0)
        self._columns = torch.empty(0)
        self._width = 0

    def aim(self, first_row: int, positions: Tensor) -> None:
        """Say where the next forward pass writes.

        Args:
            first_row: The row of its first sequence; the others follow.
            positions: Columns of its tokens, (sequences, tokens).
        """
        count = positions.shape[0]
        self._rows = slice(first_row, first_row + count)
        self._row_index = torch.arange(first_row, first_row + count, device=positions.device)[:, None]
        self._columns = positions
        self._width = int(positions.max()) + 1

    @property
    def width(self) -> int:
        """Columns that the next forward pass looks at."""
        return self._width

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, cache_kwargs: object = None
    ) -> tuple[Tensor, Tensor]:
        """Write a layer's new keys and values, and give those to attend to; called by the model.

        Args:
            key_states: (sequences, heads, tokens, head dim).
            value_states: As ``key_states``.
            layer_idx: Which layer.
            cache_kwargs: Of other caches; not read.

        Returns:
            Keys and values of the rows aimed at, (sequences, heads, width, head dim).
        """
        del cache_kwargs
        if layer_idx == len(self._keys):
            self._keys.append(self._buffer(key_states))
            self._values.append(self._buffer(value_states))
        keys, values = self._keys[layer_idx], self._values[layer_idx]
        keys[self._row_index, :, self._columns] = key_states.transpose(1, 2)
        values[self._row_index, :, self._columns] = value_states.transpose(1, 2)
        return keys[self._rows, :, : self._width], values[self._rows, :, : self._width]

    def resize(self, num_rows: int, num_columns: int, *, kept_rows: int) -> None:
        """Make the buffers this large, layer by layer, keeping the first rows' content."""
        self.num_rows, self.num_columns = num_rows, num_columns
        for buffers in (self._keys, self._values):
            for layer, old in enumerate(buffers):
                new = self._buffer(old)
                columns = min(num_columns, old.shape[2])
                new[:kept_rows, :, :columns] = old[:kept_rows, :, :columns]
                buffers[layer] = new

    def move(self, source: int, target: int) -> None:
        """Copy a row over another."""
        for buffer in (*self._keys, *self._values):
            buffer[target] = buffer[source]

    def _buffer(self, like: Tensor) -> Tensor:
        return like.new_zeros(self.num_rows, like.shape[1], self.num_columns, like.shape[3])
