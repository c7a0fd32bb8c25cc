"""Reads all that a release of the demo's shop holds, and prints what it found as JSON.

``test_clean_environment`` runs it where only the core dependencies are installed.
"""

import json
import sys
from collections.abc import Callable

import numpy as np

from featurestore.errors import MissingIdsError, SetupError
from featurestore.reader import open_store


def refusal(call: Callable[[], object]) -> str:
    """What is said to do about an absent extra."""
    try:
        call()
    except SetupError as error:
        return error.hint
    return "nothing was refused"


def main(store: str) -> None:
    """Read everything."""
    release = open_store(store).release("production")
    vectors, items = release.embeddings("item_text"), release.id_map("item")
    graph, codes = release.graph("item_text", "text-users"), release.semantic_ids("item_text")
    try:
        vectors.rows(["P0001", "unheard-of"])
        absent: tuple[str, ...] = ()
    except MissingIdsError as error:
        absent = error.ids
    found = {
        "mapped": isinstance(vectors.matrix, np.memmap),
        "absent": absent,
        "batch": vectors.rows(["P0002", "P0001", "P0002"]).shape[0],
        "arrow rows": vectors.to_arrow().num_rows - len(vectors),
        "polars rows": vectors.to_polars().height - len(vectors),
        "ids again": items.ids_of(items.row_of(["P0002", "P0001"])),
        "text": release.texts("item_cot", ids=["P0001"])["id"].to_list(),
        "neighbours": len(graph.neighbors("U0001")) > 0,
        "nodes": len(graph.on_rows(release.id_map("user"))) - release.users().height,
        "edges": graph.edge_index().shape[0],
        "entity of its code": codes.entities(codes.rows(["P0001"])),
        "torch": refusal(vectors.to_torch),
        "dataset": refusal(lambda: release.dataset("item_text")),
        "duckdb": refusal(vectors.to_duckdb),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
