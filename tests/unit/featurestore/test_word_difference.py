"""Differences by word, and the histograms that pages draw beside them."""

from featurestore.pages.histogram import histogram
from featurestore.pages.word_difference import word_difference, word_similarity


def test_differences_by_word() -> None:
    runs = word_difference("a light steel kettle", "a heavy steel kettle for camping")
    assert [(run.side, run.text) for run in runs] == [
        (None, "a"),
        ("a", "light"),
        ("b", "heavy"),
        (None, "steel kettle"),
        ("b", "for camping"),
    ]
    assert word_similarity("a b", "a b") == 1.0
    assert word_similarity(None, "a") == -1.0


def test_histograms_share_their_bins() -> None:
    found = histogram("tokens", [10, 10, 34], [33])
    assert (found.low, found.high) == ("10", "45")
    assert [(bar.side, bar.label) for bar in found.bars] == [
        ("a", "A: 2 of 10 to 12"),
        ("a", "A: 1 of 34 to 36"),
        ("b", "B: 1 of 31 to 33"),
    ]
    assert max(bar.height for bar in found.bars) == found.base - 5
    assert histogram("tokens", [], []).bars == ()
