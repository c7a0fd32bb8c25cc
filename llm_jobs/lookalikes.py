# ruff: noqa: RUF001 - the letters that look like others are what this file is about
"""Fold text so that a phrase is found however it is spelt: accents, styled letters, foreign letters."""

import re
import unicodedata
from typing import Final

_LOOKALIKES: Final = {
    "a": "аαᴀɑ", "b": "вьƅʙ", "c": "сᴄϲ", "d": "ԁᴅժ", "e": "еεᴇєҽ", "f": "ꜰғ", "g": "ɡɢց", "h": "нһհʜ",
    "i": "іιıɪɩӏ", "j": "јᴊʝ", "k": "кκᴋ", "l": "ʟⅼ", "m": "мᴍ", "n": "пηոɴ", "o": "оοօᴏσ", "p": "рρᴘ",
    "q": "ԛգ", "r": "гʀᴦ", "s": "ѕꜱ", "t": "тτᴛ", "u": "υսᴜцμ", "v": "νᴠѵ", "w": "ԝωᴡш", "x": "хχ",
    "y": "уγʏү", "z": "ᴢᴣ",
}  # fmt: skip
"""Letters of other scripts and small capitals by the Latin letter they are taken for."""
_TO_LATIN: Final = str.maketrans({odd: latin for latin, odds in _LOOKALIKES.items() for odd in odds})
_DIGITS_TO_LATIN: Final = str.maketrans("0134578@$!", "oieastbasi")
_FOREIGN: Final = "".join(odds for odds in _LOOKALIKES.values()).replace("μ", "")
"""Without mu: µm and µl are units."""

_MASKED_WORD = re.compile(rf"[a-z]+[{_FOREIGN}]+[a-z]|[{_FOREIGN}]+[a-z]{{2}}|[a-z]{{2}}[{_FOREIGN}]")
_LEET_WORD = re.compile(r"(?=[0134578@$!]*[a-z])[a-z0134578@$!]*[0134578@$!][a-z0134578@$!]*")
_ACCENTS: Final = {
    code: unicodedata.normalize("NFKD", chr(code))[0]
    for code in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00))
    if unicodedata.decomposition(chr(code))
}


def folded(text: str) -> str:
    """Compatible forms made one (NFKC), one case, Latin letters without accents."""
    return unicodedata.normalize("NFKC", text).casefold().translate(_ACCENTS)


def latinised(text: str) -> str:
    """Folded text with the letters of other scripts replaced by the Latin ones they look like."""
    return text.translate(_TO_LATIN)


def without_leet(text: str) -> str:
    """Folded text with digits and signs inside words read as the letters they stand for: ``1gn0re``."""
    return _LEET_WORD.sub(lambda word: word[0].translate(_DIGITS_TO_LATIN), text)


def has_masked_word(text: str) -> bool:
    """Whether a word of folded text mixes Latin letters with lookalikes of another script."""
    return bool(_MASKED_WORD.search(text))
