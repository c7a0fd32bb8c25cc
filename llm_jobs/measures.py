# ruff: noqa: E501 - patterns are not broken
"""Measures in free text: numbers with units, dimensions, counts. Facts that cleaning must keep."""

import re
from typing import Final

NUMBER: Final = r"\d+(?:[.,]\d+)*(?:[- ]\d+/\d+|/\d+)?"
"""``12``, ``0.5``, ``1,000``, ``8-1/2``, ``3/4``."""
_LENGTH: Final = r"inch(?:es)?|in\.|ft\.?|feet|foot|yards?|yd|cm|mm|meters?|metres?|mil|[\"\u2033\u201d]|''"
CONTENT_UNIT: Final = (
    r"fl\.? ?oz\.?|fluid ounces?|oz\.?|ounces?|ml|milliliters?|millilitres?|cl|lit(?:er|re)s?|l(?=[\s,.;)]|$)|"
    r"gallons?|gal\.?|quarts?|pints?|kg|kilograms?|(?-i:g)(?=[\s,.;)]|$)|grams?|mg|lbs?\.?|pounds?"
)
_OTHER_UNIT: Final = (
    r"years?|yrs?|watts?|w(?=[\s,.;)]|$)|volts?|v(?=[\s,.;)]|$)|mah|hz|ghz|gb|mb|tb|dpi|ppm|psi|microns?|degrees?|"
    r"sheets?|pages?|pieces?|pcs\.?|packs?|pk|counts?|ct\.?|sets?|rolls?|labels?|cards?|colou?rs?|tabs?|pockets?|bottles?"
)

MEASURE: Final = re.compile(
    rf"(?<![\w.]){NUMBER}[ -]?(?:{_LENGTH}|{CONTENT_UNIT}|{_OTHER_UNIT})(?!\w)", re.IGNORECASE
)
"""A number with its unit."""

DIMENSIONS: Final = re.compile(
    rf"(?<![\w.]){NUMBER} ?(?:{_LENGTH})? ?[x\u00d7] ?{NUMBER} ?(?:{_LENGTH})?(?: ?[x\u00d7] ?{NUMBER})?[ -]?(?:{_LENGTH})(?!\w)",
    re.IGNORECASE,
)
"""Two or three lengths: ``9 x 12 Inches``, ``8.5" x 11"``."""
