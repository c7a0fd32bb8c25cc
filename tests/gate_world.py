"""A catalogue with texts, vectors, a graph and codes that is large enough for gates to compare: 400 items.

Items belong to twelve topics; a text is twenty words, most of them of its topic's vocabulary, so that vectors
of the hashing encoder have neighbours that mean something.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl
import pyarrow as pa
from store_samples import vector_rows

from featurestore import columns as c
from featurestore import id_maps, schema
from featurestore.features import FeatureRegistry
from featurestore.graphs.build import build_graph
from featurestore.graphs.exact import ExactGraphBuilder
from featurestore.ids import digest_bytes
from featurestore.spec import EncoderSpec, ImportedTextSpec, VectorSpec, table_name
from featurestore.splits import SplitPolicy, assign_parts, record_split
from featurestore.store import Store
from llm_jobs.encoders.hashing import HashingEncoder

NUM_ITEMS, NUM_USERS, NUM_TOPICS = 400, 120, 12
ITEMS = tuple(f"i{n:03}" for n in range(NUM_ITEMS))
USERS = tuple(f"u{n:03}" for n in range(NUM_USERS))
ENCODER = EncoderSpec(
    name="hashing", model="hashing-64", pooling="sum", normalized=True, embedding_dim=64, max_tokens=64
)
TEXT = ImportedTextSpec(
    feature="item_cot", view="fused", entity="item", producer="a test", content_digest="0" * 32
)


def good_texts(*, seed: int = 0) -> dict[str, str]:
    """A text for every item; another seed gives texts of the same kind in other words."""
    rng = np.random.default_rng(seed)
    texts: dict[str, str] = {}
    for number, item in enumerate(ITEMS):
        topic = rng.integers(30, size=16)
        words = [f"w{number % NUM_TOPICS}x{word}" for word in topic]
        words += [f"common{word}" for word in rng.integers(40, size=4)]
        texts[item] = " ".join(words)
    return texts


def add_catalogue(store: Store) -> None:
    """Items, users, and events: item n has about n // 8 of them."""
    items = {name: [None] * NUM_ITEMS for name in schema.ITEMS.names} | {c.ITEM_ID: list(ITEMS)}
    store.upsert("source.items", pa.table(items, schema=schema.ITEMS), key=c.ITEM_ID)
    store.upsert("source.users", pa.table([list(USERS)], schema=schema.USERS), key=c.USER_ID)
    rng = np.random.default_rng(1)
    pairs = [
        (USERS[user], item)
        for number, item in enumerate(ITEMS)
        for user in rng.choice(NUM_USERS, size=number // 8, replace=False)
    ]
    events = pl.DataFrame(pairs, schema=[c.USER_ID, c.ITEM_ID], orient="row").sample(
        fraction=1.0, shuffle=True, seed=3
    )
    nulls = {c.RATING: pl.Float64, c.TIMESTAMP: pl.Int64, c.REVIEW: pl.String}
    parted = assign_parts(events, SplitPolicy()).with_columns(
        [pl.lit(None, kind).alias(name) for name, kind in nulls.items()]
    )
    rows = parted.select(schema.INTERACTIONS.names).to_arrow().cast(schema.INTERACTIONS)
    version = store.replace("source.interactions", rows).version
    id_maps.extend(store, "item", ITEMS)
    id_maps.extend(store, "user", USERS)
    record_split(store, parted, SplitPolicy(), interactions_version=version)


def write_texts(
    store: Store, texts: Mapping[str, str | None], *, spec: ImportedTextSpec = TEXT, reason: str = "no_json"
) -> ImportedTextSpec:
    """Write texts over those stored; an item without one is a failed row."""
    rows = [
        dict.fromkeys(schema.TEXTS.names)
        | {c.ID: i, c.TEXT: text, c.FINGERPRINT: "f", c.ATTEMPTS: 1, c.RUN_ID: "run"}
        | ({c.STATUS: c.STATUS_FAILED, c.REASON: reason} if text is None else {c.STATUS: c.STATUS_OK})
        for i, text in texts.items()
    ]
    store.upsert(table_name(spec), pa.Table.from_pylist(rows, schema=schema.TEXTS), key=c.ID)
    FeatureRegistry(store).register(spec)
    return spec


def encode(
    store: Store,
    texts: Mapping[str, str],
    *,
    text_spec: ImportedTextSpec = TEXT,
    encoder: EncoderSpec = ENCODER,
    said: EncoderSpec | None = None,
) -> VectorSpec:
    """Vectors of exactly these texts, written over those stored.

    Args:
        store: Where they go.
        texts: What is encoded.
        text_spec: What the texts are.
        encoder: What encodes them.
        said: What the spec says encoded them; the truth if None.
    """
    matrix = HashingEncoder(encoder).encode(list(texts.values()))
    return write_vectors(store, texts, matrix, text_spec=text_spec, encoder=said or encoder)


def write_vectors(
    store: Store,
    texts: Mapping[str, str],
    matrix: np.ndarray,
    *,
    text_spec: ImportedTextSpec = TEXT,
    encoder: EncoderSpec = ENCODER,
) -> VectorSpec:
    """Vectors that say they were made of these texts by this encoder."""
    spec = VectorSpec(
        feature=text_spec.feature,
        view=text_spec.view,
        entity="item",
        text_digest=text_spec.digest,
        encoder=encoder,
    )
    rows = vector_rows(list(texts), matrix, text_digests=_digests(texts.values()))
    store.upsert(table_name(spec), rows, key=c.ID)
    FeatureRegistry(store).register(spec)
    return spec


def link(store: Store, *, num_neighbors: int = 10) -> None:
    """The kNN graph of the vectors."""
    build_graph(
        store,
        feature=TEXT.feature,
        view=TEXT.view,
        entity_users="own",
        num_neighbors=num_neighbors,
        builder=ExactGraphBuilder(),
    )


def fill(store: Store) -> dict[str, str]:
    """Everything, in good order; returns the texts."""
    add_catalogue(store)
    texts = good_texts()
    write_texts(store, texts)
    encode(store, texts)
    link(store)
    return texts


def _digests(texts: Iterable[str]) -> list[str]:
    return [digest_bytes(text.encode()) for text in texts]
