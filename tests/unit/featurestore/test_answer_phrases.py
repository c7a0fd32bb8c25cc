"""The phrases are searched by two engines: Python's, answer by answer, and polars', column by column."""

import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.answer_phrases import REFUSAL, THOUGHT

PIECES = [
    *("I'm sorry, but", "i cannot provide", "as an AI language model", "I apologize", "a sorry excuse"),
    *(
        "\u62b1\u6b49\uff0c\u6211",
        "\u7533\u3057\u8a33\u3042\u308a\u307e\u305b\u3093",
        "je suis d\u00e9sol\u00e9e, je ne",
    ),
    *("Okay, so I need to", "let me think", "hmm", "wait,", "the user wants me to", "we need to answer"),
    *("scan not", "Wait", "assistant", "\n", ".", " ", "i\u2019m sorry", "\u00c9", "\u00df", "x"),
]


@pytest.mark.parametrize("pattern", [REFUSAL, THOUGHT], ids=["refusal", "thought"])
@given(texts=st.lists(st.lists(st.sampled_from(PIECES), max_size=6).map(" ".join), min_size=1, max_size=20))
def test_both_engines_find_the_same(pattern: re.Pattern[str], texts: list[str]) -> None:
    column = pl.Series([text.lower() for text in texts])
    assert column.str.contains(pattern.pattern).to_list() == [
        pattern.search(text.lower()) is not None for text in texts
    ]
