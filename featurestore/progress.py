"""How long work tells whoever waits for it how far it is."""

from typing import Protocol


class Progress(Protocol):
    """Called often and cheaply by long work; `no_progress` is the silent one."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report.

        Args:
            done: Units finished.
            total: Units in all; 0 if unknown.
            note: A few words such as ``"212 tokens/s"``.
        """
        ...


def no_progress(done: int, total: int, note: str = "") -> None:
    """Report nothing."""
    del done, total, note
