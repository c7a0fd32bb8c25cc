"""Quotation marks of a CSV file that open a field and do not close it: each would swallow the rows behind it.

As the reader sees them: a mark opens a field only where the field begins, two in a row within a field are
one of its text, and one closes it. So of runs of marks only those of an odd number matter. Behind a delimiter
or a line end such a run opens a field, or closes the one that is open; behind anything else it closes the
field that is open, or is text. What is open at the end of a block is told by counting, not byte by byte.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_QUOTE = ord('"')
_MARK = b"\xef\xbb\xbf"
"""UTF-8's mark at the beginning of a file."""


@dataclass(frozen=True, slots=True)
class OpenQuote:
    """A quoted field that does not end where it should.

    Attributes:
        opened: Line of the mark that opens it, from 1.
        closed: Line of the mark that closes it, in the midst of another field; None: the file ends within.
    """

    opened: int
    closed: int | None = None


class QuoteReader:
    """Reads a file block by block, and finds its first quoted field that swallows what is behind it.

    Args:
        delimiter: One character between fields.
    """

    def __init__(self, delimiter: str) -> None:
        self._ends = np.frombuffer(f"{delimiter}\r\n".encode(), np.uint8)
        self._tail = b"\n"
        """The byte before the next block, and marks behind it whose run may go on there."""
        self._line = 1
        self._opened: int | None = None
        self._begun = False

    def read(self, block: bytes, *, final: bool = False) -> OpenQuote | None:
        """Read the next block; the ``final`` one may be empty."""
        if not self._begun and block:
            block, self._begun = block.removeprefix(_MARK), True
        data = self._tail + block
        end = len(data) if final else max(len(data.rstrip(b'"')), 1)
        self._tail = data[end - 1 :]
        broken = self._closed_late(data[:end])
        if broken is None and final and self._opened is not None:
            return OpenQuote(self._opened)
        return broken

    def _closed_late(self, data: bytes) -> OpenQuote | None:
        """Go through a block that ends with no unfinished run; its first byte was read before."""
        codes = np.frombuffer(data, np.uint8)
        first, last = _odd_runs(codes)
        opens_before, is_open = self._open_fields(np.isin(codes[first - 1], self._ends))
        followed = np.append(codes, self._ends[-1])[last + 1] if len(last) else codes[:0]
        odd_ends = np.flatnonzero(opens_before & ~np.isin(followed, self._ends))
        for place in odd_ends.tolist():
            closed = self._line + data.count(b"\n", 1, int(first[place]))
            opened = self._opened
            if place:
                opened = self._line + data.count(b"\n", 1, int(first[place - 1]))
            if opened is not None and opened < closed:
                return OpenQuote(opened, closed)
        if not is_open:
            self._opened = None
        elif len(first):
            self._opened = self._line + data.count(b"\n", 1, int(first[-1]))
        self._line += data.count(b"\n", 1)
        return None

    def _open_fields(self, begins: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], bool]:
        """Whether a field is open before each odd run, (n,), and after the last one.

        Args:
            begins: (n,) Whether a run stands where a field may begin.
        """
        num_begun = np.cumsum(begins) + (self._opened is not None)
        at_last_end = np.maximum.accumulate(np.where(begins, 0, num_begun))
        after = (num_begun - at_last_end) % 2 == 1
        before = np.append(self._opened is not None, after)
        return before[:-1], bool(before[-1])


def _odd_runs(codes: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first and the last place of each run of an odd number of marks, (n,) each."""
    places = np.flatnonzero(codes == _QUOTE)
    is_first = np.diff(places, prepend=-2) > 1
    first = places[is_first]
    last = np.append(places[:-1][is_first[1:]], places[-1:])
    is_odd = (last - first) % 2 == 0
    return first[is_odd], last[is_odd]
