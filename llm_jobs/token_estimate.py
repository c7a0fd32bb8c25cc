"""About how many tokens a text is, and texts cut to a budget of them, without any tokenizer.

What a field may cost is decided when a prompt is rendered: for every model alike, on machines that have no
tokenizer, and so that equal rows give equal prompts wherever they are planned. The estimate counts pieces as
byte-pair tokenizers make them: common lower-case words are one token, names and capitals are broken up, each
digit stands alone, and a character of another script is a token of its own.

Measured against the tokenizer of SmolLM2 on real texts (docs/text-quality.md), its median error is below 5 %
and its 95th percentile below 25 %; four characters a token are 8 to 32 % off in the median, up to 51 % at the
95th percentile.
"""

import re
from typing import Final

_PIECE = re.compile(r"[^\W\d_]+|\d|_+|[^\w\s]+")
_LOWER_CHARS: Final = 9
_NAME_CHARS: Final = 4
_CAPITALS_CHARS: Final = 3
_SIGNS_CHARS: Final = 3
_ACCENTED_CHARS: Final = 2
_LAST_LATIN: Final = "\u024f"


def approximate_tokens(text: str) -> int:
    """About how many tokens a text is; never more than it has characters."""
    return sum(_cost(piece) for piece in _PIECE.findall(text))


def cut_to_tokens(text: str, max_tokens: int) -> str:
    """The longest beginning of a text within a budget, ended at a word unless that word is half of it."""
    if len(text) <= max_tokens:
        return text
    spent = 0
    for piece in _PIECE.finditer(text):
        spent += _cost(piece[0])
        if spent > max_tokens:
            return _at_word_end(text, piece.start())
    return text


def _at_word_end(text: str, end: int) -> str:
    head = text[:end]
    if head and not head[-1].isspace() and not text[end].isspace():
        space = head.rfind(" ")
        head = head[:space] if space > end // 2 else head
    return head.rstrip()


def _cost(piece: str) -> int:
    chars = len(piece)
    if not piece.isascii():
        return -(-chars // _ACCENTED_CHARS) if max(piece) <= _LAST_LATIN else chars
    if not piece[0].isalpha():
        return -(-chars // _SIGNS_CHARS)
    if piece.islower():
        return -(-chars // _LOWER_CHARS)
    is_name = chars == 1 or piece[1:].islower()
    return -(-chars // (_NAME_CHARS if is_name else _CAPITALS_CHARS))
