"""The suitability report on data whose numbers are known."""

import polars as pl
import pytest

from featurestore import schema
from featurestore.suitability import CHAIN_OVERHEAD_TOKENS, STAGE_OUTPUT_TOKENS, assess

USERS = pl.DataFrame({"user_id": ["u", "v"]})


def items(**columns: list[str | None]) -> pl.DataFrame:
    empty = pl.DataFrame(schema.ITEMS.empty_table())
    num = len(next(iter(columns.values())))
    given = pl.DataFrame({"item_id": [str(n) for n in range(num)], **columns})
    return pl.concat([empty, given], how="diagonal_relaxed")


def events(*rows: tuple[str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["user_id", "item_id", "part"], orient="row")


def test_fields_are_measured() -> None:
    report = assess(items(title=["abcd", "ab", "ab", None, " "]), USERS, None)
    title = report.fields[0]
    assert (title.entity, title.field) == ("item", "title")
    assert title.coverage == pytest.approx(0.6)
    assert title.mean_chars == pytest.approx(8 / 3)
    assert (title.median_chars, title.max_chars) == (2.0, 4)
    assert title.duplicate_share == pytest.approx(1 / 3)
    assert report.fields[3].field == "description"
    assert report.fields[3].coverage == 0.0


def test_lists_count_as_one_text() -> None:
    frame = items(title=["x"]).with_columns(pl.Series("cast", [["Ann", "Bob"]]))
    assert assess(frame, USERS, None).fields[-1].max_chars == 7


def test_degrees_density_and_cold_items() -> None:
    rows = [("u", "0", "train")] * 5 + [("v", "1", "train")] * 4 + [("v", "2", "test")]
    report = assess(items(title=["a", "b", "c", "d"]), USERS, events(*rows))
    assert report.density == pytest.approx(10 / 8)
    assert report.user_degrees["max"] == 5.0
    assert report.item_degrees["min"] == 1.0
    assert report.cold_share == pytest.approx(3 / 4)
    assert report.held_out_items == 1


def test_tokens_of_a_chain_count_every_stage_and_only_items_with_text() -> None:
    report = assess(items(title=["x" * 400, None]), USERS, None)
    assert report.item_cot_tokens == 3 * 100 + 3 * CHAIN_OVERHEAD_TOKENS + 6 * STAGE_OUTPUT_TOKENS


@pytest.mark.parametrize(
    ("titles", "verdict"),
    [
        ([None] * 4, "Not worth a language model's cost: none of the items have a title"),
        (["a title"] + [None] * 9, "Not worth a language model's cost: only 10.0% of the items have a title"),
        (["short", "tiny"], "Doubtful, try a sample first: 100% of the items have text and half of them 5"),
        (["the very same long title"] * 4, "Doubtful, try a sample first: .*75% repeat another item's text"),
        (
            ["a title of more than twenty", "another title as long as that"],
            "Worth a language model's cost: 100%",
        ),
    ],
)
def test_the_verdict_gives_its_reasons(titles: list[str | None], verdict: str) -> None:
    report = assess(items(title=titles), USERS, None)
    assert pl.Series([report.verdict]).str.contains(verdict).all()
    assert all(reason in report.verdict for reason in report.reasons)


def test_an_empty_store_is_measured_too() -> None:
    report = assess(pl.DataFrame(schema.ITEMS.empty_table()), USERS.head(0), None)
    assert (report.density, report.cold_share, report.item_cot_tokens) == (0.0, 0.0, 0)
    assert report.as_dict()["num_items"] == 0
