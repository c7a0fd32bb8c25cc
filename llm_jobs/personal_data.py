"""Personal data in what users wrote: found by form, checked where a form can be checked, and masked.

Only fields that users write (reviews, by default) are masked, and before anything else sees them: no model
reads an address or a number that a reviewer let slip. What merely looks like personal data stays: prices,
ISBNs, article numbers, model and version numbers. Masks are words in square brackets, such as ``[email]``.

=========  =================================================================================================
``email``  an address, also spelled ``name (at) host (dot) com``
``iban``   a country's length and a valid check sum (ISO 13616)
``card``   a payment network's prefix and length and a valid Luhn digit
``ssn``    a United States social security number with its dashes, in a range that is issued
``ip``     an IPv4 or IPv6 address
``phone``  an international number (``+49 30 …``), one in the dashes of its country, or any number after a
           word such as *call* or *phone*
=========  =================================================================================================

Names and postal addresses have no form: they are not found.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from featurestore.spec import Frozen

MASKING_VERSION: Final = 2
"""Raised when an equal input would be masked otherwise."""
USER_WRITTEN_FIELDS: Final = ("review", "reviews")
"""Fields that users write, unless the project says otherwise."""


class PrivacyPolicy(Frozen):
    """Where personal data is looked for."""

    user_written: tuple[str, ...] = USER_WRITTEN_FIELDS
    """Fields of items, users and events that users write: personal data in them is masked in prompts."""


_LABELLED = re.compile(
    r"(?:isbn|issn|asin|upc|ean|gtin|sku|mpn|model|article|part|item|serial|version|firmware|release|\bv)"
    r"(?:[\s-]?(?:1[03]|no|nr|number|code))?[\s.:#]{0,3}$",
    re.IGNORECASE,
)
"""What stands before a number that is a thing's, not a person's."""
_LABEL_CHARS = 24

_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w.+%-]{1,64}"
    r"(?:@|\s{0,2}[(\[]\s{0,2}(?:at|@)\s{0,2}[)\]]\s{0,2})"
    r"(?:[^\W_][\w-]{0,62}(?:\.|\s{0,2}[(\[]\s{0,2}(?:dot|\.)\s{0,2}[)\]]\s{0,2})){1,4}[^\W\d_]{2,24}\b",
    re.IGNORECASE,
)
_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}", re.IGNORECASE)
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){13,18}(?![\w-]|\.\d)")
_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])", re.IGNORECASE)
_PHONE_FORMS = (
    re.compile(
        r"(?<![\w+])(?<!\d[ -])(?:\+|00)[1-9]\d{0,2}"
        r"(?:[ ./-]{0,2}(?:\(\d{1,5}\)|\d{1,5})){2,6}(?![\w-]|[ .]\d)"
    ),
    re.compile(
        r"(?<![\w.-])(?:1[-. ])?(?:\([2-9]\d\d\) ?\d{3}|[2-9]\d\d[-.][2-9]\d\d)[-.]\d{4}(?![\w-]|\.\d)"
    ),
    re.compile(r"(?<![\w.-])(?<!\d )(?:\(0\d{2,4}\)|0\d{2,4})[ /-]\d{3,4}[ -]?\d{3,4}(?![\w-]|[ .]\d)"),
)
_PHONE_CUE = re.compile(
    r"\b(?:call|phone|telephone|tel|mobile|cell|whatsapp|fax|text me|ring|handy)\b[^\w+(]{0,4}"
    r"(?:(?:me|us|him|her|number|no|on|at|is)\b[^\w+(]{0,4}){0,3}"
    r"(?P<number>\+?\(?\d(?:[ ()./-]{0,2}\d){5,14})(?![\w-])",
    re.IGNORECASE,
)
_DATE_OR_DECIMAL = re.compile(
    r"^\(?(?:\d{1,2}([./-])\d{1,2}\1(?:19|20)\d\d|(?:19|20)\d\d([./-])\d{1,2}\2\d{1,2})(?!\d)"
    r"|(?<![\d.])\d+\.\d{1,2}(?!\d|\.\d)"
)
"""What follows *phone* as often as a number to call: when it was bought, what it cost, how large it is."""
_PHONE_DIGITS = range(7, 16)
"""Digits of a phone number with its country code: at most 15 (ITU E.164)."""

_IBAN_LENGTHS: Final = {
    code: length
    for length, codes in {
        15: "NO", 16: "BE", 18: "DK FO FI GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC",
        32: "LC", 33: "RU",
    }.items()
    for code in codes.split()
}  # fmt: skip
"""Characters of an IBAN by country: the IBAN registry of ISO 13616."""
_CARD_NETWORKS = (
    (re.compile(r"3[47]"), {15}),  # American Express
    (re.compile(r"30[0-59]|3[689]"), {14}),  # Diners Club
    (re.compile(r"4"), {16, 19}),  # Visa
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), {16}),  # Mastercard
    (re.compile(r"6011|64[4-9]|65|62|35(?:2[89]|[3-8])"), {16, 17, 18, 19}),  # Discover, UnionPay, JCB
)

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class MaskedText:
    """Text without personal data.

    Attributes:
        text: With masks.
        kinds: What was masked, sorted, each kind once.
    """

    text: str
    kinds: tuple[str, ...] = ()


def mask_personal_data(text: str) -> MaskedText:
    """Put a mask in the place of everything that has the form of personal data.

    Masking a masked text changes nothing. Time is linear in the length of the text.
    """
    kinds: set[str] = set()
    for kind, find in _FINDERS:
        spans = list(find(text))
        if spans:
            kinds.add(kind)
            text = _with_masks(text, spans, f"[{kind}]")
    return MaskedText(text, tuple(sorted(kinds)))


def _with_masks(text: str, spans: list[Span], mask: str) -> str:
    parts: list[str] = []
    end = 0
    for start, stop in spans:
        parts += [text[end:start], mask]
        end = stop
    return "".join([*parts, text[end:]])


def _emails(text: str) -> Iterator[Span]:
    yield from (match.span() for match in _EMAIL.finditer(text))


def _ibans(text: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(match[0][:2].upper())
        places = [at for at, char in enumerate(match[0]) if char.isalnum()]
        if length is None or len(places) < length:
            continue
        end = places[length - 1] + 1
        if _has_valid_check_sum(re.sub(r"[ -]", "", match[0][:end])):
            yield match.start(), match.start() + end


def _has_valid_check_sum(iban: str) -> bool:
    """ISO 7064 mod 97-10: country and check digits go last, letters count from A = 10."""
    moved = iban[4:] + iban[:4]
    return int("".join(str(int(char, 36)) for char in moved)) % 97 == 1


def _cards(text: str) -> Iterator[Span]:
    for match in _CARD.finditer(text):
        digits = _digits(match[0])
        known = any(len(digits) in lengths and form.match(digits) for form, lengths in _CARD_NETWORKS)
        if known and _passes_luhn(digits) and not _is_labelled(text, match.start()):
            yield match.span()


def _passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812: every second digit from the right doubled, digits of the products summed."""
    doubled = [int(d) * (2 if at % 2 else 1) for at, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _social_security_numbers(text: str) -> Iterator[Span]:
    yield from (match.span() for match in _SSN.finditer(text) if not _is_labelled(text, match.start()))


def _ip_addresses(text: str) -> Iterator[Span]:
    for form, is_address in ((_IPV4, _is_ipv4), (_IPV6, _is_ipv6)):
        for match in form.finditer(text):
            if is_address(match[0]) and not _is_labelled(text, match.start()):
                yield match.span()


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    """An address of three groups at least: ``a::b`` is as likely to be something else."""
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return sum(bool(group) for group in text.split(":")) >= 3


def _phones(text: str) -> Iterator[Span]:
    found = [match.span() for form in _PHONE_FORMS for match in form.finditer(text)]
    cued = _PHONE_CUE.finditer(text)
    found += [match.span("number") for match in cued if not _DATE_OR_DECIMAL.search(match["number"])]
    end = 0
    for start, stop in sorted(found, key=lambda span: (span[0], -span[1])):
        if start >= end and len(_digits(text[start:stop])) in _PHONE_DIGITS and not _is_labelled(text, start):
            yield start, stop
            end = stop


def _is_labelled(text: str, start: int) -> bool:
    return bool(_LABELLED.search(text[max(0, start - _LABEL_CHARS) : start]))


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


_FINDERS: tuple[tuple[str, Callable[[str], Iterator[Span]]], ...] = (
    ("email", _emails),
    ("iban", _ibans),
    ("card", _cards),
    ("ssn", _social_security_numbers),
    ("ip", _ip_addresses),
    ("phone", _phones),
)
