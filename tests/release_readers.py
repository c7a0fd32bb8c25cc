"""Reads releases again and again and says of each whether it is whole: of one night, and made of itself.

Every title of a night has the night's number in each of its words, so every text written from it has it too.
Vectors are encoded anew from the texts beside them, scores of the graph computed anew from the vectors.
"""

import os
import random
import re
import time
from pathlib import Path

import numpy as np
import polars as pl

from featurestore.errors import MissingVersionError
from featurestore.reader import FeatureStore, Release, open_store
from llm_jobs.encoders import open_encoder
from llm_jobs.models import find_encoder

FEATURE = "item_semantic_id"
_NIGHT = re.compile(r"night(\d+)")
_PAUSE = 0.1


class MixedReleaseError(Exception):
    """A release is not whole, or holds parts of two nights."""


def title_of(item: int, night: int) -> str:
    """A title of six words, each of which names the night."""
    return " ".join(
        f"{word}{item}-night{night}" for word in ("Kettle", "Spout", "Lid", "Cord", "Base", "Grip")
    )


def night_of(release: Release) -> int:
    """The night that a release is of, after checking that all of it is.

    Raises:
        MixedReleaseError: If it is not.
    """
    items = release.items()
    (night,) = _nights(items["title"], "titles")
    texts = release.texts(FEATURE, status=None)
    _require(texts["id"].to_list() == sorted(items["item_id"]), "texts are missing")
    _require(texts["status"].unique().to_list() == ["ok"], "texts have failed")
    _require(_nights(texts["text"], "texts") == {night}, f"texts are not of night {night}")
    _check_vectors(release, texts)
    _check_graph(release)
    return night


def watch(folder: str, seed: int) -> None:
    """Read until the folder holds a file ``stop``; note every reading in ``readings``."""
    draw, home = random.Random(seed), Path(folder)
    readings = os.open(home / "readings", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while not (home / "stop").exists():
        store = open_store(str(home / "store"))
        for line in _read_one(store, draw):
            os.write(readings, f"{line}\n".encode())
        time.sleep(_PAUSE)


def _read_one(store: FeatureStore, draw: random.Random) -> list[str]:
    """Read what production names, or any release; one that is being removed does not count."""
    numbers = store.releases()
    if not numbers:
        return []
    name = draw.choice(["production", str(draw.choice(numbers))])
    try:
        release = store.release(name)
    except MissingVersionError:
        gone = "production" in store.aliases() if name == "production" else int(name) in store.releases()
        return [f"broken {name} cannot be opened"] if gone else []
    try:
        return [f"whole {release.number} {night_of(release)}"]
    except Exception as error:  # noqa: BLE001 whatever a reader meets is what the test is about
        if release.number not in store.releases():
            return []
        return [f"broken {release.number} {type(error).__name__}: {' '.join(str(error).split())}"]


def _nights(texts: pl.Series, what: str) -> set[int]:
    found = [{int(night) for night in _NIGHT.findall(text)} for text in texts]
    _require(all(found), f"some {what} name no night")
    nights = set[int]().union(*found)
    _require(len(nights) == 1, f"{what} are of the nights {sorted(nights)}")
    return nights


def _check_vectors(release: Release, texts: pl.DataFrame) -> None:
    embeddings = release.embeddings(FEATURE)
    _require(list(embeddings.ids) == texts["id"].to_list(), "vectors are missing")
    made = open_encoder(find_encoder("hashing", {})).encode(texts["text"].to_list())
    _require(np.allclose(embeddings.matrix, made, atol=1e-6), "the vectors are of other texts")


def _check_graph(release: Release) -> None:
    """Users are the mean of the vectors of their training items."""
    graph, embeddings = release.graph(FEATURE), release.embeddings(FEATURE)
    row_of = {item: row for row, item in enumerate(embeddings.ids)}
    items_of = release.interactions("train").group_by("user_id").agg(pl.col("item_id").unique())
    rows = {user: [row_of[item] for item in items] for user, items in items_of.iter_rows()}
    _require(list(graph.ids) == sorted(rows), "the graph lacks users")
    means = np.stack([np.asarray(embeddings.matrix)[rows[user]].mean(axis=0) for user in graph.ids])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    sources, targets = graph.edge_index()
    scores = (means[sources] * means[targets]).sum(axis=1)
    _require(np.allclose(graph.scores, scores, atol=1e-5), "the graph is of other vectors")


def _require(holds: bool, found: str) -> None:
    if not holds:
        raise MixedReleaseError(found)
