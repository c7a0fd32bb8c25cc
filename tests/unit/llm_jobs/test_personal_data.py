import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.personal_data import mask_personal_data

PERSONAL = {
    "email": [
        "jane.doe+shop@example.co.uk",
        "JANE_DOE@EXAMPLE.ORG",
        "müller@straße.de",
        "jane (at) example (dot) com",
        "jane[at]example.com",
    ],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "fr14 2004 1010 0505 0001 3m02 606"],
    "card": ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "30569309025904"],
    "ssn": ["078-05-1120"],
    "ip": ["192.168.0.17", "8.8.8.8", "2001:db8:85a3::8a2e:370:7334", "fe80::1ff:fe23:4567:890a"],
    "phone": [
        "+49 30 901820",
        "+1 (212) 555-0142",
        "0044 20 7946 0958",
        "(212) 555-0142",
        "(555) 123-4567",
        "1-800-555-0199",
        "415.555.0132",
        "020 7946 0958",
    ],
}
CUED_PHONES = [
    "call me at 555 0142 99",
    "tel: 5550142",
    "WhatsApp 0151 23456789",
    "my phone number is 555-0142",
    "tel. 06.12.34.56.78",
]
TWINS = [
    "$1,299.99",
    "1.299,00 EUR",
    "£4.50 for 10, £0.45 each",
    "ISBN 978-0-306-40615-7",
    "ISBN-10: 0-306-40615-2",
    "ISBN 0306406152",
    "9780306406157",
    "EAN 4006381333931",
    "4006381333931",
    "UPC 036000291452",
    "model 415-555-0132",
    "model WH-1000XM4",
    "RTX 4090 24GB",
    "part no. 078-05-1120",
    "firmware 1.2.3.4",
    "version 10.0.0.1",
    "v2.0.1.5",
    "SKU 4111111111111111",
    "4111 1111 1111 1112",
    "DE89 3704 0044 0532 0130 01",
    "born in 1999, bought 2014-07-01 at 12:30:45",
    "10 x 20 x 30 cm",
    "1920x1080 at 144 Hz, 3840 2160",
    "256.300.1.2",
    "@jane said 5 @ $3.00",
    "user@home",
    "std::vector a::b",
    "ratio 16:9, 2:1:1",
    "B00004TZY8",
    "serial number 123-45-6789",
    "called 3 times in 2 weeks",
    "100 000 000 steps",
    "a phone on 10/12/2015",
    "this phone (2014-07-01)",
    "mobile 31.12.2019",
    "the phone is 199.99 249.99",
    "phone 299.00/349.00",
    "cell 18650 3.7 3400 mAh",
]


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k, values in PERSONAL.items() for v in values])
@pytest.mark.parametrize("sentence", ["{}", "Write to {}, please.", "I love it ({}). Great!", "x {}\nmore"])
def test_personal_data_is_masked_and_nothing_around_it(kind: str, value: str, sentence: str) -> None:
    masked = mask_personal_data(sentence.format(value))
    assert masked.text == sentence.format(f"[{kind}]")
    assert masked.kinds == (kind,)


@pytest.mark.parametrize("text", CUED_PHONES)
def test_any_number_after_a_word_for_calling_is_a_phone_number(text: str) -> None:
    masked = mask_personal_data(f"Great. {text}!")
    assert masked.kinds == ("phone",)
    assert masked.text.endswith(" [phone]!")


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("sentence", ["{}", "Got it: {}.", "It says {} on the box"])
def test_what_only_looks_like_personal_data_stays(twin: str, sentence: str) -> None:
    text = sentence.format(twin)
    assert mask_personal_data(text).text == text


def test_several_kinds_in_one_text() -> None:
    masked = mask_personal_data("Mail a@b.org or call 415-555-0132, card 4111111111111111. 5 stars, $20.")
    assert masked.text == "Mail [email] or call [phone], card [card]. 5 stars, $20."
    assert masked.kinds == ("card", "email", "phone")


def _luhn_number(stem: str) -> str:
    """The number whose last digit makes the sum right, found by trial."""
    for last in range(10):
        digits = [int(d) for d in f"{stem}{last}"]
        total = 0
        for place, digit in enumerate(digits[::-1]):
            total += digit if place % 2 == 0 else sum(divmod(2 * digit, 10))
        if total % 10 == 0:
            return f"{stem}{last}"
    raise AssertionError("one of ten digits always fits")


@given(st.text(alphabet="0123456789", min_size=14, max_size=14), st.sampled_from(["", " ", "-"]))
def test_every_valid_card_number_is_masked_and_its_neighbour_is_not(stem: str, separator: str) -> None:
    number = _luhn_number(f"4{stem}")
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    for digits, expected in ((number, ("card",)), (wrong, ())):
        grouped = separator.join(digits[at : at + 4] for at in range(0, 16, 4))
        assert mask_personal_data(f"Paid with {grouped} today").kinds == expected


@given(st.integers(0, 10**18 - 1))
def test_every_valid_iban_is_masked(account: int) -> None:
    number = f"{account:018d}"
    check = 98 - int(f"{number}131400") % 97  # D = 13, E = 14
    assert mask_personal_data(f"IBAN DE{check:02d}{number}.").text == "IBAN [iban]."
    other = check - 1 if check > 2 else check + 1
    assert "iban" not in mask_personal_data(f"IBAN DE{other:02d}{number}.").kinds


@given(st.from_regex(r"[a-z][a-z0-9.]{0,20}[a-z0-9]@[a-z0-9]{1,20}\.(com|org|co\.uk)", fullmatch=True))
def test_every_plain_address_is_masked(address: str) -> None:
    assert mask_personal_data(f"Mail {address} now").text == "Mail [email] now"


@given(st.text(max_size=200) | st.text(alphabet="0123456789+-. ()@:abcDE[]", max_size=200))
def test_masking_twice_is_masking_once(text: str) -> None:
    once = mask_personal_data(text)
    assert mask_personal_data(once.text).text == once.text


@pytest.mark.parametrize(
    "piece", ["a", "1", "1 ", "1-", "a.", "::", "0:", "+1 ", "call ", "DE12 ", "(at) ", "a@"]
)
def test_time_is_linear(piece: str) -> None:
    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        started = time.process_time()
        mask_personal_data(text)
        return time.process_time() - started

    seconds(1_000)
    assert seconds(200_000) < 2.0
