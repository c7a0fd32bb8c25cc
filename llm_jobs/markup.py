"""Take HTML and CSS out of catalogue text, in time linear in its length.

Every pattern here stops at the next bracket it could begin with, and a block that is never closed is looked
for once: a megabyte of ``<!--`` costs no more than a megabyte of prose. A real HTML parser would be exact
about quotes in attributes; but descriptions are no documents, and its worst case is quadratic.
"""

import re

_BLOCKS = tuple(
    (re.compile(opening, re.IGNORECASE), re.compile(closing, re.IGNORECASE))
    for opening, closing in (
        (r"<!--", r"-->"),
        (r"<script\b[^<>]*>", r"</script\b[^<>]*>"),
        (r"<style\b[^<>]*>", r"</style\b[^<>]*>"),
    )
)
_TAG = re.compile(r"<[/!?]?[A-Za-z][^<>]*>|<!--|-->")
_BRACES = re.compile(r"\{([^{}]*)\}")
_DECLARATION = re.compile(r"\s*(?:/\*[^*]*\*/\s*)?[a-z-]{2,40}\s{0,9}:", re.IGNORECASE)
_SELECTOR = re.compile(
    r"(?:[a-z][\w-]*)?[.#:][\w.#:-]+,?"  # .caption, ul.indent, a:hover
    r"|(?:a|b|body|div|em|h[1-6]|hr|i|img|li|ol|p|span|strong|table|td|th|tr|ul),?"
    r"|[>+~*,]|@[\w-]+",
    re.IGNORECASE,
)
_MAX_SELECTOR_CHARS = 200


def strip_html(text: str) -> str:
    """The text without comments, scripts, style sheets and tags, each replaced by a space."""
    for opening, closing in _BLOCKS:
        text = _drop_blocks(text, opening, closing)
    return _TAG.sub(" ", text)


def strip_css(text: str) -> str:
    """The text without CSS rules that stand in it as plain text, such as ``.a {color: red;}``."""
    kept: list[str] = []
    start = 0
    for braces in _BRACES.finditer(text):
        if _DECLARATION.match(braces[1]):
            kept.append(_without_selector(text[start : braces.start()]))
            start = braces.end()
    kept.append(text[start:])
    return " ".join(kept) if len(kept) > 1 else text


def _drop_blocks(text: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> str:
    kept: list[str] = []
    start = 0
    while found := opening.search(text, start):
        end = closing.search(text, found.end())
        if end is None:
            break
        kept.append(text[start : found.start()])
        start = end.end()
    kept.append(text[start:])
    return " ".join(kept)


def _without_selector(text: str) -> str:
    """The text without the words at its end that only a CSS selector would hold."""
    body, tail = text[:-_MAX_SELECTOR_CHARS], text[-_MAX_SELECTOR_CHARS:]
    words = tail.split()
    while words and _SELECTOR.fullmatch(words[-1]):
        words.pop()
    return body + " ".join(words)
