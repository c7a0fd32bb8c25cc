"""Names and texts on a page: they come from anywhere, and must do nothing to it."""

from typing import Final

_LONGEST: Final = 160
_PLAIN: Final = str.maketrans({"|": "/", "*": None, "`": "'", "<": "&lt;", ">": "&gt;", "[": "(", "]": ")"})
"""What would end a cell, or begin a link, a tag or code → what looks like it on the page."""


def escaped(text: str) -> str:
    """A text on one line, without what Markdown or HTML would act on."""
    return " ".join(text.split()).translate(_PLAIN)


def shortened(text: str) -> str:
    """As `escaped`, cut at a word."""
    words = escaped(text)
    if len(words) <= _LONGEST:
        return words
    return (words[:_LONGEST].rpartition(" ")[0] or words[:_LONGEST]) + " …"
