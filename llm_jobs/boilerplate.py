"""Take advertising and shop talk out of catalogue text: what fits any item says nothing about this one.

The unit is the sentence, since half of one is no sentence. A sentence that also states a measure is kept but
for the phrase itself, and a text never loses its last words: a description that is nothing but advertising
stays as it is.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from featurestore.phrases import any_of
from llm_jobs.measures import MEASURE

_BREAK = re.compile(r"(?<=[.!?])(?=\s)|(?<=[|\n\u2022\u2605\u2606])|(?<=\s[-\u2013\u2014])(?=\s)")
"""Where a sentence ends; in titles, where a part of it ends."""
_WORD = re.compile(r"\w+")
_LONG_SENTENCE: Final = 30
_MIN_REPEATED_WORDS: Final = 4
_RESIDUE: Final = any_of(
    r"""
    \(?\b(?:view|see) larger\b(?: image)?\.?\)?
    \bclick (?:here )?(?:to|for) (?:enlarge|zoom|a larger image|larger image)\b\.?
    \bread more about\b
    \bsee more product details\b
    """
)
"""What a web page leaves between the sentences."""

_ADVERTISING: Final = any_of(
    r"""
    \b(?:100 ?% )?(?:quality |customer )?satisfaction (?:is )?(?:100% )?guaranteed?\b
    \bmoney[- ]back\b
    \bmoney refund\b
    \brefund your money\b
    \b(?:full|complete|100 ?%) refund\b
    \bnot (?:\w+ ){0,3}satisfied\b
    \bhassle[- ]free (?:return|replacement|refund)
    \b(?:days?|easy|our) returns?(?: policy)?\b(?! address)
    \breturn policy\b
    \breturns? (?:are )?accepted\b
    \brisk[- ]free\b
    ^\W*(?:so |please )?(?:buy|order|shop|get|grab|purchase)\b[^.!?]{0,60}\b(?:now|today)\b\W*$
    \badd (?:it |one |this )?to (?:your )?(?:shopping )?(?:cart|basket)\b
    \bclick (?:here|the button|on the|["\u201c]add)
    \bscroll (?:up|back)\b
    \bdon['\u2019]?t (?:wait|miss out)\b
    \blimited[- ]time (?:only|offer)\b
    \bwhile supplies last\b
    ^\W*hurry\b
    \bact now\b
    \bwhat are you waiting for\b
    \bbuy with confidence\b
    \b(?:weekend|holiday|clearance|super|big|flash) sale\b
    \bon sale(?: now)?\b
    \bcomes with free e-?book\b
    \bbest price on amazon\b
    \bfree (?:fast |standard |worldwide )?(?:shipping|delivery)(?! labels?)\b
    \bfast shipping\b
    \bshipping (?:time|cost|fee|and handling)\b
    \bships? (?:within|same day|free)\b
    \bdelivery time\b
    \btracking number\b
    \bdeliver to p\.? ?o\b
    \b(?:visit|browse|check out) (?:us\b|our (?:other|store|shop|full|web|amazon|entire|range))
    \bour (?:amazon )?(?:store|shop|storefront)\b
    \b(?:our|seller\W?s) other (?:products|items|listings|book stands)
    \bfollow us\b
    \blike us on\b
    \bsubscribe to\b
    \bleave (?:us )?(?:a )?(?:positive )?(?:feedback|review)\b
    \b(?:authorized|exclusive|only legal) (?:re-?)?(?:seller|distributor)s?\b
    \b(?:any )?other sellers\b
    \bbeware of (?:imitation|counterfeit|fake)
    \b(?:contact|e-?mail|call|message) (?:us|our customer|customer)\b
    \bshop with us\b
    \bfeel free to contact\b
    \bcustomer service\b[^.!?]{0,40}\b(?:hours|line|phone|e-?mail)\b
    \ball rights reserved\b
    \b(?:is an? |are )?(?:registered )?trademarks? (?:of|owned|law)\b
    (?:\u00a9|\(c\)|\bcopyright) ?\d{4}\b
    \bprotected by [^.!?]{0,30}\blaw\b
    """
)
"""A sentence that holds one of these is about the shop, not about the item."""


_RESIDUE_ANY_CASE: Final = re.compile(_RESIDUE.pattern, re.IGNORECASE)
_ADVERTISING_ANY_CASE: Final = re.compile(_ADVERTISING.pattern, re.IGNORECASE)


def strip_advertising(text: str) -> str:
    """The text without advertising, shop talk, legal notices and what a web page left in it."""
    bare = _RESIDUE_ANY_CASE.sub(" ", text) if _RESIDUE.search(text.lower()) else text
    if _ADVERTISING.search(text.lower()):
        bare = "".join(_kept(sentence) for sentence in _BREAK.split(bare))
    return bare if any(character.isalnum() for character in bare) else text


def strip_repeats(text: str) -> str:
    """The text without sentences of four words and more that it has said already."""
    seen: set[str] = set()
    sentences = _BREAK.split(text)
    kept = list(_first_times(sentences, seen))
    return "".join(kept) if len(kept) < len(sentences) else text


def _kept(sentence: str) -> str:
    if not _ADVERTISING.search(sentence.lower()):
        return sentence
    if MEASURE.search(sentence) or len(sentence.split()) > _LONG_SENTENCE:
        return _ADVERTISING_ANY_CASE.sub(" ", sentence)
    return " "


def _first_times(sentences: Iterable[str], seen: set[str]) -> Iterator[str]:
    for sentence in sentences:
        said = " ".join(_WORD.findall(sentence.lower()))
        if said in seen and said.count(" ") + 1 >= _MIN_REPEATED_WORDS:
            continue
        seen.add(said)
        yield sentence
