"""Whether a text is in the language that was asked for: by its script, then by its function words.

A statistical detector is unsure below a sentence, and most answers are a phrase of product words that no
language owns. So this one only ever says "another language" when the text itself says so: letters of another
script, or several function words of another language and hardly any of its own. Anything else passes.
"""

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Final, Literal, TypeAlias

Language: TypeAlias = Literal[
    "da", "de", "en", "es", "fr", "it", "nl", "pl", "pt", "sv", "ja", "ko", "ru", "zh"
]
"""ISO 639-1 codes of the languages that can be told apart."""

_FUNCTION_WORDS: Final = {
    "da": ("og er det som til ikke der på med af også jeg han hun eller efter blev være ved hvor deres"),
    "de": (
        "der die das und ist nicht ein eine einen einem mit für auf von zu dem den des sich auch "
        "oder wird werden sind bei wie nach aus wer ihre ihr durch"
    ),
    "en": (
        "the and of with for who is that are this it from or would as their they be on not by which "
        "than these those what when can will has have you your its but more like into at an to in a"
    ),
    "es": (
        "el los las una para con que del por más como su sus es y pero muy este esta son quienes "
        "sin sobre también"
    ),
    "fr": (
        "le les des une pour avec et est qui dans du sur pas ce cette ces sont plus aux au mais ou "
        "leur ses sans"
    ),
    "it": (
        "il gli della dello delle dei una per con che di sono più questo questa chi non alla nel "
        "anche è ma come"
    ),
    "nl": ("het een en van voor met die niet zijn ook maar bij aan deze wordt naar wie uit hun dat is op of"),
    "pl": ("i w na z do nie się jest dla to że jak oraz które który ale po od przez lub tego"),
    "pt": (
        "o os um uma para com que não do da dos das em por mais como sua seu são e mas muito este "
        "esta quem sem"
    ),
    "sv": ("och är det som till inte av på med för ett den har att eller från också men deras vid kan"),
}
_SCRIPTS: Final = {
    "ja": ("CJK", "HIRAGANA", "KATAKANA"),
    "ko": ("HANGUL",),
    "ru": ("CYRILLIC",),
    "zh": ("CJK",),
}
_SCRIPT_NAMES: Final = {"CJK": "Chinese"}
_MIN_FOREIGN_LETTERS: Final = 8
_MAX_FOREIGN_SHARE: Final = 0.4
"""A foreign name or two in an answer is no other language."""
_MIN_FUNCTION_WORDS: Final = 4
_WORDS = re.compile(r"[^\W\d_]+")
_PROFILES: Final = {name: frozenset(words.split()) for name, words in _FUNCTION_WORDS.items()}


def other_language(text: str, language: Language) -> str | None:
    """What a text is written in, if that is plainly not ``language``.

    Args:
        text: A text; short ones nearly always pass.
        language: What was asked for.

    Returns:
        A language code, or a script such as ``Cyrillic script``; None if nothing speaks against the language.
    """
    script = _other_script(text, language)
    if script is not None:
        return script
    if language not in _PROFILES:
        return None
    words = Counter(_WORDS.findall(text.casefold()))
    found = {name: profile & words.keys() for name, profile in _PROFILES.items()}
    counts = {name: sum(words[word] for word in known) for name, known in found.items()}
    best = max(counts, key=lambda name: counts[name])
    plainly = len(found[best]) >= _MIN_FUNCTION_WORDS and counts[best] >= 3 * counts[language] + 1
    return best if best != language and plainly else None


def _other_script(text: str, language: Language) -> str | None:
    """The script of most letters, if too many are of another script than the language's."""
    if text.isascii() and language in _PROFILES:
        return None
    own = _SCRIPTS.get(language, ("LATIN",))
    scripts = Counter(_script(character) for character in text if character.isalpha())
    foreign = scripts.total() - sum(scripts[name] for name in own)
    if language not in _PROFILES:
        foreign -= scripts["LATIN"] // 2  # brands and units are written in Latin letters everywhere
    if foreign < _MIN_FOREIGN_LETTERS or foreign <= _MAX_FOREIGN_SHARE * scripts.total():
        return None
    most = max((name for name in scripts if name not in own), key=lambda name: scripts[name])
    return f"{_SCRIPT_NAMES.get(most, most.capitalize())} script"


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    return unicodedata.name(character, "UNKNOWN").split()[0]
