"""A small shop that never was: the demo's catalogue and its customers' purchases, from one seed.

How it is made, so that results on it can be judged:

* A *theme* is a latent taste (trail, calm, craft, smart, family, compact, retro, sport). Every item has a
  main theme and a second one. They choose its brand, an adjective of its title, and three sentences of its
  description, so the text carries what drives the purchases. No theme is named in a column.
* A user has a taste over themes (Dirichlet, 0.15: one or two themes matter) and over categories
  (Dirichlet, 0.5).
* A user meets items in random order weighted by exp(9 · affinity) · category taste · popularity, without
  repetition; affinity = 0.7 · taste of the main theme + 0.3 · taste of the second. Popularity falls as
  1 / rank^0.4 over a random order of the items that knows nothing of themes.
* Users buy 5 to 9 items; dates lie in 2023 and 2024, in the order of purchase. Ratings are 3 to 5 stars and
  rise with affinity.

Run ``python examples/demo/sample.py FOLDER`` to write items.jsonl, users.csv and interactions.csv.
"""

import argparse
import csv
import json
import tomllib
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SEED = 20240229
ITEMS_PER_CATEGORY = 30
NUM_USERS = 400
FEWEST_EVENTS, MOST_EVENTS = 5, 9
FIRST_DAY = 1_672_531_200  # 2023-01-01, UTC
NUM_DAYS = 730
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Sample:
    """The shop's rows, as JSON and CSV will hold them."""

    items: list[dict[str, Any]]
    users: list[dict[str, Any]]
    interactions: list[dict[str, Any]]


def make_sample(seed: int = SEED, items_per_category: int = ITEMS_PER_CATEGORY) -> Sample:
    """The same rows for the same seed and size; a category has 56 items at most."""
    vocabulary = tomllib.loads(Path(__file__).with_name("vocabulary.toml").read_text(encoding="utf-8"))
    rng = np.random.default_rng(seed)
    themes = list(vocabulary["themes"])
    items, item_themes = _make_items(vocabulary, themes, items_per_category, rng)
    users, interactions = _make_users(items, item_themes, list(vocabulary["categories"]), rng)
    for item in items:
        del item["category"]
    return Sample(items, users, interactions)


def _make_items(
    vocabulary: dict[str, Any], themes: list[str], per_category: int, rng: np.random.Generator
) -> tuple[list[dict[str, Any]], npt.NDArray[np.float64]]:
    """Items, and an (n, themes) array of weights: 0.7 of the main theme, 0.3 of the second."""
    items: list[dict[str, Any]] = []
    weights: list[npt.NDArray[np.float64]] = []
    for category, words in vocabulary["categories"].items():
        pairs = list(permutations(range(len(themes)), 2))
        for number, choice in enumerate(rng.choice(len(pairs), per_category, replace=False)):
            main, second = pairs[choice]
            product = words["products"][number % len(words["products"])]
            items.append(
                {"category": category}
                | _describe(vocabulary, category, product, (themes[main], themes[second]), rng)
            )
            weights.append(0.7 * np.eye(len(themes))[main] + 0.3 * np.eye(len(themes))[second])
    # Ids go round the categories, so that the first so many items are a fair sample of the shop.
    order = np.arange(len(items)).reshape(-1, per_category).T.ravel()
    numbered = [{"item_id": f"P{place + 1:04}"} | items[row] for place, row in enumerate(order)]
    return numbered, np.array(weights)[order]


def _describe(
    vocabulary: dict[str, Any],
    category: str,
    product: list[Any],
    themes: tuple[str, str],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Title, brand, category path, description and price of one item."""
    words = vocabulary["categories"][category]
    main, second = (vocabulary["themes"][theme] for theme in themes)
    noun, opener, price = product
    fitting = [brand for brand, brand_themes in vocabulary["brands"].items() if themes[0] in brand_themes]
    brand = str(rng.choice(fitting))
    sentences = [
        opener,
        words["themes"][themes[0]],
        str(rng.choice(main["who"])),
        words["themes"][themes[1]] if rng.random() < 0.5 else str(rng.choice(second["who"])),
    ]
    return {
        "title": f"{brand} {rng.choice(main['adjectives'])} {noun}",
        "brand": brand,
        "categories": words["path"],
        "description": " ".join(sentences),
        "price": round(float(price * rng.uniform(0.8, 1.4)), 2),
    }


def _make_users(
    items: list[dict[str, Any]],
    item_themes: npt.NDArray[np.float64],
    categories: list[str],
    rng: np.random.Generator,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    item_category = np.array([categories.index(item["category"]) for item in items])
    popularity = (1.0 + rng.permutation(len(items))) ** -0.4
    users: list[dict[str, Any]] = []
    interactions: list[dict[str, Any]] = []
    for number in range(NUM_USERS):
        user_id = f"U{number + 1:04}"
        affinity = item_themes @ rng.dirichlet(np.full(item_themes.shape[1], 0.15))
        category_taste = rng.dirichlet(np.full(len(categories), 0.5))[item_category]
        appeal = np.exp(9.0 * affinity) * (0.05 + category_taste) * popularity
        count = int(rng.integers(FEWEST_EVENTS, MOST_EVENTS + 1))
        bought = rng.choice(len(items), count, replace=False, p=appeal / appeal.sum())
        days = np.sort(rng.choice(NUM_DAYS, count, replace=False))
        users.append({"user_id": user_id, "joined": FIRST_DAY + int(days[0]) * _DAY})
        for item, day in zip(bought, days, strict=True):
            interactions.append(
                {
                    "user_id": user_id,
                    "item_id": items[item]["item_id"],
                    "rating": float(np.clip(round(3.2 + 2.5 * affinity[item] + rng.normal(0, 0.5)), 3, 5)),
                    "timestamp": FIRST_DAY + int(day) * _DAY + int(rng.integers(_DAY)),
                }
            )
    return users, interactions


def write_sample(folder: Path, seed: int = SEED) -> Sample:
    """Write items.jsonl, users.csv and interactions.csv into ``folder``."""
    sample = make_sample(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(item, ensure_ascii=False) + "\n" for item in sample.items]
    (folder / "items.jsonl").write_text("".join(lines), encoding="utf-8")
    for name, rows in (("users.csv", sample.users), ("interactions.csv", sample.interactions)):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return sample


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the demo's sample.")
    parser.add_argument("folder", type=Path, help="where to write")
    written = write_sample(parser.parse_args().folder)
    print(f"{len(written.items)} items, {len(written.users)} users, {len(written.interactions)} interactions")
