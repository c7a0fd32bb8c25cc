"""Write a page of cold items: what is near to them by a model's vectors, and by the vectors of their texts.

    python scripts/semantic_neighbours.py lightgcn item_semantic_id --project shop --output page.md

Both are vector features of a release: the first as `featurestore vectors` stored it. The page shows titles of
items: write it outside of the repository where their terms forbid to copy them.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from featurestore import columns as c
from featurestore.errors import InputError
from featurestore.reader import Release, open_store
from recommender.data import FloatArray, load_training_data
from recommender.evaluation.neighbour_cases import NeighbourCases, Neighbourhood, neighbour_cases
from recommender.evaluation.page_text import escaped
from recommender.features import line_up
from scripts.study.command_line import add_output_option, exit_code, new_parser, put_out


def page(
    release: Release, by_id: str, by_text: str, *, max_degree: int, top_k: int, num_cases: int, seed: int
) -> str:
    """The page, Markdown.

    Args:
        release: An opened release.
        by_id: Vector feature of items that a model learned, or a view of it; ``item`` is taken if there.
        by_text: Vector feature of items' texts, or a view of it.
        max_degree: Training users of a cold item, at most.
        top_k: Neighbours.
        num_cases: Items that are shown.
        seed: Which.

    Raises:
        UnknownNameError: If the release has no such vectors.
        InputError: If no cold item has both, or there are too few items.
    """
    data = load_training_data(release)
    vectors = [_vectors(release, name) for name in (by_id, by_text)]
    found = neighbour_cases(data, *vectors, max_degree=max_degree, top_k=top_k)
    if not len(found.items):
        raise InputError(
            f"no item of 1 to {max_degree} training users has a vector by {by_id} and one by {by_text}.",
            hint="Raise --max-degree, or embed more items.",
        )
    return "\n".join([*_summary(found, by_id, by_text), *_cases(release, found, num_cases, seed), ""])


def _vectors(release: Release, name: str) -> FloatArray:
    """(num_items, d) float32 by the rows of the id map; zeros where there is no vector."""
    feature, _, view = name.partition(".")
    views = {pin.spec.view for pin in release.features("vector") if pin.spec.feature == feature}
    stored = release.embeddings(feature, view or ("item" if "item" in views else None))
    return line_up([stored], release.id_map("item").ids).matrix


def _summary(found: NeighbourCases, by_id: str, by_text: str) -> list[str]:
    def row(name: str, side: Neighbourhood) -> str:
        return f"| {name} | {side.degree:.1f} | {side.taken_before:.4f} |"

    count, top_k = found.by_id.neighbours.shape
    source = (
        "Written by `scripts/semantic_neighbours.py`: do not edit it by hand. "
        f"{count:,} items of 1 to {found.max_degree} training users; {top_k} nearest by cosine. "
        "Taken before: by those who took the item in the validation part."
    )
    return [
        "# Neighbours of cold items",
        "",
        source,
        "",
        "| neighbours by | their training users, mean | taken before, share |",
        "|---|---|---|",
        row(by_id, found.by_id),
        row(by_text, found.by_text),
        f"| chance | | {found.taken_before_by_chance:.4f} |",
        "",
        f"Of an item's neighbours, {found.overlap:.1%} are named by both.",
    ]


def _cases(release: Release, found: NeighbourCases, num_cases: int, seed: int) -> list[str]:
    items = release.items()
    titles = dict(items.select(c.ITEM_ID, c.TITLE).iter_rows()) if c.TITLE in items.columns else {}
    ids = release.id_map("item").ids

    def names(rows: Sequence[int]) -> str:
        return "; ".join(escaped(str(titles.get(ids[row]) or ids[row])) for row in rows)

    count = min(num_cases, len(found.items))
    drawn = np.sort(np.random.default_rng(seed).choice(len(found.items), count, replace=False))
    lines = ["", "| item | near by ID | near by text |", "|---|---|---|"]
    for case in drawn.tolist():
        sides = (found.by_id.neighbours[case], found.by_text.neighbours[case])
        cells = [names([int(found.items[case])]), *(names(side.tolist()) for side in sides)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> int:
    """Parse options, write the page."""
    parser = new_parser(__doc__)
    parser.add_argument("by_id", help="vector feature that a model learned")
    parser.add_argument("by_text", help="vector feature of texts")
    parser.add_argument("--project", type=Path, default=Path(), help="folder of the project")
    parser.add_argument("--release", default="production", help="number or alias")
    parser.add_argument("--max-degree", type=int, default=5, help="training users of a cold item, at most")
    parser.add_argument("--top-k", type=int, default=10)
    parser.add_argument("--cases", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    add_output_option(parser)
    options = parser.parse_args()

    def work() -> None:
        written = page(
            open_store(str(options.project / "store")).release(options.release),
            options.by_id,
            options.by_text,
            max_degree=options.max_degree,
            top_k=options.top_k,
            num_cases=options.cases,
            seed=options.seed,
        )
        put_out(written, options.output)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
