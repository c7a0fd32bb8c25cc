"""The demo's catalogue: big enough, readable, repeatable, and with taste in its texts."""

import importlib.util
import json
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def sample_module(project_root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_sample", project_root / "examples/demo/sample.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_shop_is_as_big_as_promised(sample_module: ModuleType) -> None:
    sample = sample_module.make_sample()
    assert len(sample.items) >= 200
    assert len({item["categories"] for item in sample.items}) >= 6
    assert len(sample.users) >= 300
    assert min(Counter(e["user_id"] for e in sample.interactions).values()) >= 5
    assert len({(e["user_id"], e["item_id"]) for e in sample.interactions}) == len(sample.interactions)


def test_items_read_like_a_shop(sample_module: ModuleType) -> None:
    items = sample_module.make_sample().items
    assert len({item["item_id"] for item in items}) == len(items)
    assert len({item["title"] for item in items}) >= 0.95 * len(items)
    for item in items:
        assert item["title"].startswith(item["brand"])
        assert len(item["description"].split(". ")) >= 3
        assert 100 < len(item["description"]) < 600
        assert item["price"] > 5


def test_the_same_seed_writes_the_same_bytes(sample_module: ModuleType, tmp_path: Path) -> None:
    for name in ("one", "two"):
        sample_module.write_sample(tmp_path / name)
    for file in ("items.jsonl", "users.csv", "interactions.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    first = json.loads((tmp_path / "one" / "items.jsonl").read_text().splitlines()[0])
    assert list(first) == ["item_id", "title", "brand", "categories", "description", "price"]


def test_another_seed_writes_another_shop(sample_module: ModuleType) -> None:
    assert sample_module.make_sample(1).interactions != sample_module.make_sample(2).interactions


def test_texts_carry_taste(sample_module: ModuleType) -> None:
    """A user's own purchases share more sentences than those of strangers: there is signal to learn."""
    sample = sample_module.make_sample()
    said = {item["item_id"]: set(item["description"].split(". ")[1:]) for item in sample.items}
    baskets: dict[str, list[str]] = {}
    for event in sample.interactions:
        baskets.setdefault(event["user_id"], []).append(event["item_id"])
    own = [len(said[a] & said[b]) for basket in baskets.values() for a, b in combinations(basket, 2)]
    firsts = [basket[0] for basket in baskets.values()]
    other = [len(said[a] & said[b]) for a, b in combinations(firsts, 2)]
    assert np.mean(own) > 1.5 * np.mean(other)
