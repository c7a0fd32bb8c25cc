"""Attributes stated in free text: found where they are plain, left out where they are not."""

from typing import Any

import pytest

from llm_jobs.attributes import ATTRIBUTE_NAMES, as_text, extract_attributes


@pytest.mark.parametrize(
    ("title", "name", "value"),
    [
        ("Karma Kream Body Cream by LUSH", "brand", "LUSH"),
        ("Foam Ninja Swords - Safe & Fun - by Trademark Innovations", "brand", "Trademark Innovations"),
        ("Envelopes, 9 x 12 Inches, White", "dimensions", "9 x 12 Inches"),
        ('Loose sheets, 8.27 x 11.7", cream', "dimensions", '8.27 x 11.7"'),
        ("Swim pool 62.5 x 62.5 x 19.5 cm", "dimensions", "62.5 x 62.5 x 19.5 cm"),
        ("Sensitive skin, 4 Ounces (Pack of 2)", "content", "4 Ounces"),
        ("Green tea restructurizer 8 fl. oz", "content", "8 fl. oz"),
        ("Eye cream 0.5 ml", "content", "0.5 ml"),
        ("Desk bell. It weighs 0.5 lbs.", "weight", "0.5 lbs"),
        ("Makeup case, weight: 12 pounds", "weight", "12 pounds"),
        ("Soap bars (Pack of 6)", "pack_count", "Pack of 6"),
        ("Index cards, ruled, 100 Count", "pack_count", "100 Count"),
        ("Rubber finger tips, 12/Box", "pack_count", "12/Box"),
        ("Set of three nesting dolls", "pack_count", "Set of three"),
        ("Thermal hair straightener, Red", "color", "Red"),
        ("Curling iron (Dark Brown)", "color", "Dark Brown"),
        ("Doll bed. Color: sea green. New.", "color", "sea green"),
        ("Catapult kit, Wood", "material", "Wood"),
        ("Towel holder made of brushed stainless steel", "material", "brushed stainless steel"),
        ("File folder, Letter Size, 100 per box", "size", "Letter Size"),
        ("Notebook (A5)", "size", "A5"),
        ("Felt tip pens (RS017OR)", "model_number", "RS017OR"),
        ("Flat iron, Model: BABP9561", "model_number", "BABP9561"),
    ],
)
def test_what_a_title_states_is_found(title: str, name: str, value: str) -> None:
    assert extract_attributes({"title": title})[name] == value


@pytest.mark.parametrize(
    "title",
    [
        "Made by Hand",
        "Sorted by size and color",
        "Printer (Discontinued by Manufacturer)",
        "RC helicopter 2.4G, works with iPhone 4G",
        "Black Beauty, the novel",
        "The Red Badge of Courage",
        "Woodworking for beginners, volume 2",
        "Glass Animals poster",
        "(Discontinued) (2014)",
    ],
)
def test_what_only_looks_like_an_attribute_is_left_out(title: str) -> None:
    assert extract_attributes({"title": title}) == {}


def test_the_title_is_read_first_and_the_first_statement_counts() -> None:
    fields: dict[str, Any] = {"description": "Color: blue. 5 oz", "title": "Mug, Red", "price": 3.0}
    assert extract_attributes(fields) == {"content": "5 oz", "color": "Red"}


def test_attributes_read_as_one_line_in_a_fixed_order() -> None:
    stated = extract_attributes({"title": "Soap, White, 4 oz (Pack of 6) by Dove"})
    assert as_text(stated) == "brand: Dove; content: 4 oz; pack count: Pack of 6; color: White"
    assert list(stated) == [name for name in ATTRIBUTE_NAMES if name in stated]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", ["1 ", "1x", "by A ", "color: ", "(A1", "made of a ", "9 x ", "1/1 "])
def test_no_text_takes_more_than_linear_time(unit: str) -> None:
    extract_attributes({"title": unit * (100_000 // len(unit))})
