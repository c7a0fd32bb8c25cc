"""A store with texts of items and users and the vectors that a graph has of them: for RecMind's adapters.

What a text begins with decides where its node's vector lies, so that alignment can be learned, and what is
learned holds for other nodes too.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from gate_world import ITEMS as ALL_ITEMS
from gate_world import USERS as ALL_USERS
from gate_world import add_catalogue
from tuning_world import WORDS, word_texts

from featurestore import columns as c
from featurestore import schema
from featurestore.features import FeatureRegistry
from featurestore.gates.policy import GatePolicy
from featurestore.ids import digest_bytes
from featurestore.reader import FeatureStore, Release
from featurestore.releases.publish import publish
from featurestore.spec import EncoderSpec, Entity, ImportedTextSpec, ModelVectorSpec, table_name
from featurestore.splits import SplitPolicy, current_split, record_split
from featurestore.store import Store

WIDTH = 6
ITEMS, USERS = ALL_ITEMS[:72], ALL_USERS[:24]
IDS: dict[Entity, tuple[str, ...]] = {"item": ITEMS, "user": USERS}
ALL_IDS: dict[Entity, tuple[str, ...]] = {"item": ALL_ITEMS, "user": ALL_USERS}


def fill(store: Store) -> Release:
    """A catalogue, ``item_notes`` and ``user_notes``, and ``lightgcn`` of both, published."""
    add_catalogue(store)
    for entity, seed in (("item", 1), ("user", 2)):
        texts, labels = word_texts(len(IDS[entity]), seed=seed)
        add_texts(store, entity, texts)
        add_graph_vectors(store, entity, graph_vectors(labels, seed=seed))
    return release(store)


def release(store: Store, gates: GatePolicy = GatePolicy()) -> Release:  # noqa: B008 - it is frozen
    """Publish what the store holds."""
    publish(store, gates=gates)
    return FeatureStore(store).release()


def train_events(store: Store, part: str = c.TRAIN) -> str:
    """What was made from a part of the current split says so."""
    split = current_split(store)
    assert split is not None
    return split.event_set(part)


def another_split(store: Store) -> None:
    """From now on all events train."""
    split = current_split(store)
    assert split is not None
    table = store.read("source.interactions", version=split.interactions_version)
    parted = pl.DataFrame(table).with_columns(pl.lit(c.TRAIN).alias(c.PART))
    rows = parted.to_arrow().cast(table.schema)
    version = store.replace("source.interactions", rows).version
    record_split(store, parted, SplitPolicy(method="none"), interactions_version=version)


def text_spec(entity: Entity, producer: str = "a test") -> ImportedTextSpec:
    """``item_notes.text`` or ``user_notes.text``."""
    return ImportedTextSpec(
        feature=f"{entity}_notes", view="text", entity=entity, producer=producer, content_digest="0" * 32
    )


def add_texts(store: Store, entity: Entity, texts: list[str | None], *, producer: str = "a test") -> None:
    """Texts of the first entities; users' read training events. None is a failed row."""
    spec = text_spec(entity, producer)
    events = train_events(store) if entity == "user" else None
    rows = [
        {
            c.ID: i,
            c.TEXT: text,
            c.STATUS: c.STATUS_FAILED if text is None else c.STATUS_OK,
            c.REASON: "no_text" if text is None else None,
            c.FINGERPRINT: "f",
            c.ATTEMPTS: 1,
            c.EVENT_SET: events,
            c.RUN_ID: "run",
        }
        for i, text in zip(ALL_IDS[entity], texts, strict=False)
    ]
    store.replace(table_name(spec), pa.Table.from_pylist(rows, schema=schema.TEXTS))
    FeatureRegistry(store).register(spec)


def graph_vectors(labels: list[int], *, seed: int) -> npt.NDArray[np.float32]:
    """(n, WIDTH) float32: a direction for each first word, the same for items and users, and some noise."""
    directions = np.random.default_rng(7).normal(size=(len(WORDS), WIDTH))
    noise = np.random.default_rng(seed).normal(size=(len(labels), WIDTH)) * 0.3
    return (directions[labels] + noise).astype(np.float32)


def graph_spec(entity: Entity, model: str = "a") -> ModelVectorSpec:
    """``lightgcn.item`` or ``lightgcn.user``."""
    encoder = EncoderSpec(
        name="lightgcn",
        model=f"recommender:{model}",
        pooling="none",
        normalized=False,
        embedding_dim=WIDTH,
        max_tokens=1,
    )
    return ModelVectorSpec(
        feature="lightgcn", view=entity, entity=entity, config_digest=model, release="1", encoder=encoder
    )


def add_graph_vectors(
    store: Store, entity: Entity, vectors: npt.NDArray[np.float32], *, model: str = "a", part: str = c.TRAIN
) -> None:
    """z^G of the first entities."""
    ids = ALL_IDS[entity][: len(vectors)]
    columns: list[pa.Array] = [
        pa.array(ids, pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
        pa.array([digest_bytes(row.tobytes()) for row in vectors]),
        pa.array([train_events(store, part)] * len(ids), pa.string()),
        pa.array(["run"] * len(ids), pa.string()),
    ]
    spec = graph_spec(entity, model)
    store.replace(table_name(spec), pa.Table.from_arrays(columns, schema=schema.vectors(vectors.shape[1])))
    FeatureRegistry(store).register(spec)


def write_project(folder: Path, encoder: dict[str, object]) -> None:
    """A project folder whose ``tiny`` encoder is the given entry."""
    lines = [f"{name} = {value!r}".replace("'", '"') for name, value in encoder.items()]
    (folder / "featurestore.toml").write_text("\n".join(["[encoders.tiny]", *lines]) + "\n")
