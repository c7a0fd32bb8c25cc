# ruff: noqa: E501 - patterns are not broken
"""Attributes that free text states: brand, content, dimensions, colour, material, pack, model number.

Extraction is by narrow patterns, since a wrong attribute is worse than a missing one: a brand only after
"by" at the end of a title, a colour or material only where it is labelled or stands alone between commas.
What is found is a span of the text itself, never a word of ours.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from llm_jobs.clean import joined_text
from llm_jobs.measures import CONTENT_UNIT, DIMENSIONS, NUMBER

_MAX_CHARS: Final = 60
_TITLE: Final = "title"

_COLORS: Final = (
    "black|white|red|blue|green|yellow|orange|purple|violet|pink|brown|gr[ae]y|silver|gold|beige|ivory|navy|teal|"
    "turquoise|burgundy|maroon|magenta|cyan|lavender|charcoal|clear|transparent|multi-?colou?r(?:ed)?|assorted colou?rs"
)
_SHADES: Final = "light|dark|bright|pale|deep|pastel|neon|matte|metallic|royal|sky|navy|hot|rose|forest|lime"
_MATERIALS: Final = (
    "stainless steel|steel|aluminium|aluminum|metal|brass|copper|iron|plastic|polypropylene|polyester|vinyl|pvc|acrylic|"
    "nylon|cotton|wool|silk|linen|canvas|leather|faux leather|suede|felt|rubber|silicone|latex|wood|bamboo|oak|walnut|"
    "glass|ceramic|porcelain|stone|marble|paper|cardboard|kraft paper|cork|foam|mesh"
)
_WORD_NUMBERS: Final = "two|three|four|five|six|seven|eight|nine|ten|twelve|dozen"
_LABEL_END: Final = r"\s{0,2}[:=]\s{0,2}"
_VALUE: Final = r"([A-Za-z0-9][^.;:|!?\n]{1,59}?)(?=\s*(?:[.;|!?\n]|,\s|$|\s[A-Z][\w ]{1,20}:))"

_PATTERNS: Final[Mapping[str, tuple[re.Pattern[str], ...]]] = {
    "dimensions": (DIMENSIONS,),
    "content": (re.compile(rf"(?<![\w.]){NUMBER}[ -]?(?:{CONTENT_UNIT})(?!\w)", re.IGNORECASE),),
    "weight": (
        re.compile(
            rf"\b(?:weigh(?:s|ing)|weight{_LABEL_END})(?: (?:about|only|approx\.?|approximately))? ?"
            rf"({NUMBER} ?(?:kg|(?-i:g)|grams?|lbs?|pounds?|oz|ounces?)\b)",
            re.IGNORECASE,
        ),
    ),
    "pack_count": (
        re.compile(rf"\b((?:pack|set|box|case|bundle|lot) of (?:{NUMBER}|{_WORD_NUMBERS}))\b", re.IGNORECASE),
        re.compile(
            rf"(?<![\w.])({NUMBER}[ -]?(?:pack|pk|count|ct|pieces?|pcs|per (?:pack|box|pad|case)))\b", re.IGNORECASE
        ),
        re.compile(rf"(?<![\w.])({NUMBER} ?/ ?(?:pack|box|case|pk|bx|ct))\b", re.IGNORECASE),
    ),
    "color": (
        re.compile(rf"\bcolou?rs?{_LABEL_END}{_VALUE}", re.IGNORECASE),
        re.compile(rf"(?:^|[,(/-] ?)((?:(?:{_SHADES})[ -])?(?:{_COLORS}))(?= ?(?:[,)/(]|$))", re.IGNORECASE),
    ),
    "material": (
        re.compile(rf"\bmaterials?{_LABEL_END}((?:[\w-]+ ){{0,3}}(?:{_MATERIALS}))\b", re.IGNORECASE),
        re.compile(rf"\bmade (?:of|from|out of) ((?:[a-z-]+ ){{0,2}}(?:{_MATERIALS}))\b", re.IGNORECASE),
        re.compile(rf"(?:^|[,(] ?)({_MATERIALS})(?= ?(?:[,)(]|$))", re.IGNORECASE),
    ),
    "size": (
        re.compile(rf"(?<!\w )\bsize{_LABEL_END}{_VALUE}", re.IGNORECASE),
        re.compile(r"\b((?:letter|legal|ledger|tabloid|king|queen|twin|travel|pocket|passport)[ -]size)\b", re.IGNORECASE),
        re.compile(r"(?<![\w-])(A[3-7])(?![\w-])(?= (?:size|paper|format)|[,)]|$)"),
    ),
    "model_number": (
        re.compile(r"\b[Mm]odel(?: (?:[Nn]umber|[Nn]o\.?|#))?\s?[:#]\s?([A-Z0-9][A-Z0-9/-]{2,20})\b"),
        re.compile(r"\(((?=[A-Z0-9/-]*\d)(?=[A-Z0-9/-]*[A-Z])[A-Z0-9][A-Z0-9/-]{3,20})\)"),
    ),
}  # fmt: skip
_BRAND_WORD: Final = r"[A-Z][\w&'\u2019-]*(?:\.\w+)*"
_BRAND = re.compile(rf"\bby ({_BRAND_WORD}(?: (?:{_BRAND_WORD}|&|of|the|and|de)){{0,3}})\s*$")
_NO_BRAND: Final = frozenset(
    {"hand", "design", "nature", "amazon", "manufacturer", "seller", "you", "us", "me"}
)


ATTRIBUTE_NAMES: Final = ("brand", *_PATTERNS)
"""What can be extracted; an absent field of such a name is filled."""


def extract_attributes(fields: Mapping[str, Any]) -> dict[str, str]:
    """What the text fields of an entity state, by attribute, in a fixed order; each at most 60 characters.

    Args:
        fields: Clean, uncut fields. The title is read first, then the others in their order; the first
            statement counts.
    """
    texts = list(_texts(fields))
    found: dict[str, str] = {}
    if brand := _brand(str(fields.get(_TITLE) or "")):
        found["brand"] = brand
    for name, patterns in _PATTERNS.items():
        value = next((v for text in texts for v in _values(text, patterns)), None)
        if value is not None:
            found[name] = value
    return found


def as_text(attributes: Mapping[str, str]) -> str:
    """Attributes as one line: ``content: 30 ml; color: black``."""
    return "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in attributes.items())


def _texts(fields: Mapping[str, Any]) -> Iterator[str]:
    names = sorted(fields, key=lambda name: name != _TITLE)
    for text in (joined_text(fields[name]) for name in names):
        if text:
            yield text


def _values(text: str, patterns: tuple[re.Pattern[str], ...]) -> Iterator[str]:
    for pattern in patterns:
        if found := pattern.search(text):
            value = found[found.lastindex or 0].strip(" ,-")
            if len(value) <= _MAX_CHARS:
                yield value


def _brand(title: str) -> str | None:
    found = _BRAND.search(title.rstrip(" .,)"))
    return found[1] if found and found[1].casefold() not in _NO_BRAND else None
