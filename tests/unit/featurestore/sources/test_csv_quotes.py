"""Quoted fields that swallow rows, against a reader that goes from character to character."""

from hypothesis import given
from hypothesis import strategies as st

from featurestore.sources.csv_quotes import OpenQuote, QuoteReader


def by_character(text: str) -> OpenQuote | None:
    """The same, slowly: the states of a CSV reader."""
    line, opened, state = 1, 0, "begin"
    for place, char in enumerate(text):
        after = text[place + 1 : place + 2]
        if state == "closing":
            state = "quoted" if char == '"' else "field"
        elif state == "quoted":
            if char == '"':
                state = "closing"
                if after != '"' and after not in {"", ",", "\n", "\r"} and opened < line:
                    return OpenQuote(opened, line)
        elif state == "begin" and char == '"':
            state, opened = "quoted", line
            line += char == "\n"
            continue
        else:
            state = "field"
        if state == "field":
            state = "begin" if char in ",\r\n" else "field"
        line += char == "\n"
    return OpenQuote(opened) if state == "quoted" else None


@given(st.text('"",,\n\rab', max_size=40), st.integers(1, 9), st.booleans())
def test_blocks_of_any_size_say_what_the_slow_reader_says(text: str, size: int, marked: bool) -> None:
    reader = QuoteReader(",")
    raw = (b"\xef\xbb\xbf" if marked else b"") + text.encode()
    blocks = [raw[: 3 + size], *(raw[at : at + size] for at in range(3 + size, len(raw), size))]
    found = [reader.read(block) for block in blocks]
    found.append(reader.read(b"", final=True))
    assert next((each for each in found if each), None) == by_character(text)


def test_marks_within_text_open_nothing() -> None:
    assert QuoteReader(",").read(b'a,5" screen\nb,"6"" screen"\n', final=True) is None


def test_a_field_of_lines_that_ends_in_the_midst_of_another_is_named() -> None:
    assert QuoteReader(",").read(b'a,"b\nc,"d"\n', final=True) == OpenQuote(1, 2)
    assert QuoteReader("\t").read(b'x\n\na\t"b\nc,d\n', final=True) == OpenQuote(3)
    assert QuoteReader(",").read(b'a,"b"c\nd,"e\nf"\n', final=True) is None
