"""Whom a text names, and what is left of rows, without a store around them."""

import json

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore import schema
from featurestore.erasure.rows import holding_of
from featurestore.erasure.subject import Subject
from featurestore.spec import CodesSpec, GraphSpec, PlainTextSpec, RecommendationsSpec, SourceSpec

ANNA = Subject(frozenset({"anna-1"}), frozenset({"x"}))
SHORT = Subject(frozenset({"7"}))


@pytest.mark.parametrize(
    "text", ["anna-1", "no row of 'anna-1'.", '{"user_id": "anna-1"}', "(anna-1)", "anna-1 "]
)
def test_an_id_is_found_as_a_word(text: str) -> None:
    assert ANNA.is_named_in(text)
    assert "anna-1" not in ANNA.without_names(text)


@pytest.mark.parametrize("text", ["anna-10", "joanna-1", "anna", "x-anna-1", "anna-1-2", "", "7"])
def test_parts_of_other_words_are_no_names(text: str) -> None:
    assert not ANNA.is_named_in(text)
    assert ANNA.without_names(text) == text


def test_a_short_id_is_a_name_between_quotation_marks_only() -> None:
    assert SHORT.is_named_in("no row of '7'")
    assert SHORT.is_named_in('{"user_id": "7"}')
    assert SHORT.without_names({"7": "7", "error": "7 rows, none of '7'"}) == {
        "7": "7",
        "error": "7 rows, none of '[forgotten]'",
    }


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each)
    )
)
def test_values_without_names_stay_and_no_name_is_left(value: object) -> None:
    if "anna-1" not in json.dumps(value):
        assert ANNA.without_names(value) == value
        assert not ANNA.is_named_in_value(value)
    named = {"a": [value, "of anna-1"], "anna-1": value}
    assert ANNA.is_named_in_value(named)
    assert not ANNA.is_named_in_value(ANNA.without_names(named))


def test_ids_that_files_hold_by_chance_are_not_searched_for() -> None:
    subject = Subject(frozenset({"anna-1", "9912345678", "7", "näm-ünde"}))
    assert subject.byte_forms(pl.Series(["bob", "cleo"])) == (
        b"anna-1",
        b"n\\u00e4m-\\u00fcnde",
        "näm-ünde".encode(),
    )
    assert b"anna-1" not in subject.byte_forms(pl.Series(["joanna-10"]))


GRAPH = {"feature": "f", "view": "v", "vector_digest": "0" * 32, "pooling": "own", "num_neighbors": 2}
CODES = {
    "feature": "f",
    "view": "v",
    "vector_digest": "0" * 32,
    "codebook": "1" * 32,
    "num_levels": 1,
    "codebook_size": 2,
    "beam_size": 1,
}


def test_which_tables_may_hold_something_about_users() -> None:
    assert holding_of(SourceSpec(feature="items", view="rows")) is None
    assert holding_of(GraphSpec(**GRAPH, entity="item")) is None
    assert holding_of(CodesSpec(**CODES, entity="item")) is None
    of_items = holding_of(GraphSpec(**GRAPH, entity="item", event_set="a:train"))
    assert of_items is not None
    assert not of_items.of_users
    assert holding_of(CodesSpec(**CODES, entity="user")) is not None
    lists = RecommendationsSpec(
        feature="m", view="top", entity=None, model="m", config_digest="0" * 32, release="1", top_k=1
    )
    found = holding_of(lists)
    assert found is not None
    assert (found.of_users, found.columns) == (True, ("user_id",))


def test_item_texts_go_if_they_read_events_of_an_item_that_the_user_had() -> None:
    spec = PlainTextSpec(feature="f", view="v", entity="item", fields=(), template_digest="0" * 32)
    holding = holding_of(spec)
    assert holding is not None
    rows = pl.DataFrame({"id": ["x", "x2", "y"], "event_set": ["a:train", "a:train", None]})
    assert holding.concerned(rows, ANNA)["id"].to_list() == ["x"]
    assert holding.concerned(rows.with_columns(pl.lit(None, pl.String).alias("event_set")), ANNA).is_empty()


def test_neighbours_move_up_where_one_is_forgotten() -> None:
    holding = holding_of(GraphSpec(**GRAPH, entity="user"))
    assert holding is not None
    rows = [("b", "anna-1", 0, 0.9), ("b", "x", 1, 0.8), ("anna-1", "b", 0, 0.9), ("x", "b", 0, 0.7)]
    columns = [list(column) for column in zip(*rows, strict=True)]
    left = holding.without(pa.table(columns, schema=schema.EDGES), ANNA)
    assert left.schema == schema.EDGES
    assert [(row["src_id"], row["dst_id"], row["rank"]) for row in left.to_pylist()] == [
        ("b", "x", 0),
        ("x", "b", 0),
    ]
