"""Lists of phrases, one pattern a line, as one pattern that is quick to search with."""

import re
from collections.abc import Mapping

_WORD_START = r"\b"


def any_of(lines: str, parts: Mapping[str, str] | None = None) -> re.Pattern[str]:
    """A pattern for lower-case text that matches any of the patterns of a text, one a line.

    The word boundary that most begin with is tested once for all: that, and not folding case while matching,
    makes the search ten times as fast.

    Args:
        lines: Patterns in lower case; white space around a line does not count.
        parts: What stands for ``{name}`` in them.
    """
    for name, part in (parts or {}).items():
        lines = lines.replace("{" + name + "}", part)
    patterns = [line.strip() for line in lines.strip().splitlines()]
    at_words = [pattern.removeprefix(_WORD_START) for pattern in patterns if pattern.startswith(_WORD_START)]
    others = [pattern for pattern in patterns if not pattern.startswith(_WORD_START)]
    grouped = [rf"\b(?:{'|'.join(at_words)})"] if at_words else []
    return re.compile("|".join(grouped + others))
