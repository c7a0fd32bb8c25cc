"""What is like this item, and who buys like this user? Answered from a published release, with NumPy alone.

similar-items demo-project/store --item P0001 --user U0001
"""

import argparse
import sys

import numpy as np

from featurestore.errors import FeatureStoreError
from featurestore.reader import Release, open_store


def nearest_items(release: Release, feature: str, item_id: str, count: int) -> list[tuple[str, float]]:
    """Items by cosine similarity of their vectors, nearest first, without the item itself.

    Args:
        release: An opened release.
        feature: A vector feature of items, such as ``item_text``.
        item_id: External id.
        count: How many.
    """
    embeddings = release.embeddings(feature)
    matrix = embeddings.matrix  # (n, d), mapped from disk
    query = embeddings.rows([item_id])[0]
    scores = matrix @ query / (np.linalg.norm(matrix, axis=1) * np.linalg.norm(query))
    order = np.argsort(-scores, kind="stable")
    return [(embeddings.ids[row], float(scores[row])) for row in order if embeddings.ids[row] != item_id][
        :count
    ]


def main() -> int:
    """Print similar items and, if asked, neighbours of a user."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", help="folder of the store, or s3://bucket/prefix")
    parser.add_argument("--item", required=True, help="item to start from")
    parser.add_argument("--user", help="user whose graph neighbours to list")
    parser.add_argument("--feature", default="item_text", help="vector feature of items")
    parser.add_argument("--release", default="production", help="alias or number")
    parser.add_argument("--count", type=int, default=5)
    options = parser.parse_args()
    try:
        release = open_store(options.store).release(options.release)
        titles = dict(release.items().select("item_id", "title").iter_rows())
        print(f"release {release.number}: like {titles[options.item]}")
        for item_id, score in nearest_items(release, options.feature, options.item, options.count):
            print(f"  {score:.3f}  {item_id}  {titles[item_id]}")
        if options.user:
            print(f"users near {options.user}")
            view = f"{release.embeddings(options.feature).spec.view}-users"
            neighbors = release.graph(options.feature, view).neighbors(options.user)
            for user_id, score in neighbors[: options.count]:
                print(f"  {score:.3f}  {user_id}")
    except FeatureStoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
