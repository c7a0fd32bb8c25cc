"""A small store for tests: 6 items, 4 users, 20 events, texts, vectors, graphs, lists."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from featurestore import columns as c
from featurestore import id_maps, schema, splits
from featurestore.features import FeatureRegistry
from featurestore.ids import digest_bytes
from featurestore.spec import (
    AnySpec,
    EncoderSpec,
    Entity,
    GraphSpec,
    PlainTextSpec,
    RecommendationsSpec,
    VectorSpec,
    table_name,
)
from featurestore.splits import SplitPolicy, SplitRecord
from featurestore.store import Store

ITEM_IDS = tuple(f"i{n}" for n in range(6))
USER_IDS = tuple(f"u{n}" for n in range(4))
ENCODER = EncoderSpec(
    name="hashing", model="hashing-4", pooling="sum", normalized=True, embedding_dim=4, max_tokens=64
)


def add_sources(store: Store, *, shift: int = 0) -> SplitRecord:
    """Ingest items, users, events and their split; another ``shift`` makes another split."""
    items = {name: [None] * len(ITEM_IDS) for name in schema.ITEMS.names}
    items |= {c.ITEM_ID: list(ITEM_IDS), c.TITLE: [f"Title {i}" for i in ITEM_IDS]}
    store.upsert("source.items", pa.table(items, schema=schema.ITEMS), key=c.ITEM_ID)
    store.upsert("source.users", pa.table([list(USER_IDS)], schema=schema.USERS), key=c.USER_ID)
    events = pl.DataFrame(
        [(u, ITEM_IDS[(n + at + shift) % 6], float(at)) for n, u in enumerate(USER_IDS) for at in range(5)],
        schema=[c.USER_ID, c.ITEM_ID, c.RATING],
        orient="row",
    )
    parted = splits.assign_parts(events, SplitPolicy()).with_columns(
        pl.lit(None, pl.Int64).alias(c.TIMESTAMP), pl.lit(None, pl.String).alias(c.REVIEW)
    )
    rows = parted.select(schema.INTERACTIONS.names).to_arrow().cast(schema.INTERACTIONS)
    version = store.replace("source.interactions", rows).version
    id_maps.extend(store, "item", ITEM_IDS)
    id_maps.extend(store, "user", USER_IDS)
    return splits.record_split(store, parted, SplitPolicy(), interactions_version=version)


def add_texts(
    store: Store,
    texts: Mapping[str, str | None],
    *,
    feature: str = "item_text",
    view: str = "text",
    entity: Entity = "item",
    wording: str = "0",
    event_set: str | None = None,
) -> PlainTextSpec:
    """A registered text feature; an id without a text is a failed row."""
    spec = PlainTextSpec(
        feature=feature, view=view, entity=entity, fields=("title",), template_digest=wording * 32
    )
    rows = [
        dict.fromkeys(schema.TEXTS.names)
        | {c.ID: i, c.TEXT: text, c.FINGERPRINT: "f", c.ATTEMPTS: 1, c.RUN_ID: "run", c.EVENT_SET: event_set}
        | ({c.STATUS: c.STATUS_OK} if text else {c.STATUS: c.STATUS_FAILED, c.REASON: "no_json", c.RAW: "?"})
        for i, text in texts.items()
    ]
    store.upsert(table_name(spec), pa.Table.from_pylist(rows, schema=schema.TEXTS), key=c.ID)
    FeatureRegistry(store).register(spec)
    return spec


def add_vectors(
    store: Store,
    text: AnySpec,
    ids: Sequence[str],
    *,
    encoder: EncoderSpec = ENCODER,
    event_set: str | None = None,
    seed: int = 0,
) -> VectorSpec:
    """Registered random unit vectors of a text feature."""
    spec = VectorSpec(
        feature=text.feature, view=text.view, entity=text.entity, text_digest=text.digest, encoder=encoder
    )
    width = encoder.embedding_dim
    matrix = np.random.default_rng(seed).standard_normal((len(ids), width)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    rows = vector_rows(ids, matrix, event_set=event_set, text_digests=_text_digests(store, text, ids))
    store.upsert(table_name(spec), rows, key=c.ID)
    FeatureRegistry(store).register(spec)
    return spec


def _text_digests(store: Store, text: AnySpec, ids: Sequence[str]) -> list[str]:
    if store.latest(table_name(text)) is None:
        return ["d"] * len(ids)
    rows = store.read(table_name(text), columns=[c.ID, c.TEXT]).to_pylist()
    digests = {row[c.ID]: digest_bytes(row[c.TEXT].encode()) for row in rows if row[c.TEXT]}
    return [digests.get(i, "d") for i in ids]


def vector_rows(
    ids: Sequence[str],
    matrix: np.ndarray,
    *,
    event_set: str | None = None,
    text_digests: Sequence[str] | None = None,
) -> pa.Table:
    """Rows of a vector table."""
    count, width = matrix.shape
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(matrix).reshape(-1)), width)
    digests = list(text_digests or ["d"] * count)
    columns = [list(ids), vectors, digests, pa.array([event_set] * count, pa.string()), ["run"] * count]
    return pa.table(columns, schema=schema.vectors(width))


def add_graph(
    store: Store, vectors: VectorSpec, ids: Sequence[str], *, event_set: str | None = None
) -> GraphSpec:
    """A registered ring: every node's neighbours are the next two."""
    spec = GraphSpec(
        feature=vectors.feature,
        view=vectors.view,
        entity=vectors.entity,
        vector_digest=vectors.digest,
        pooling="own",
        num_neighbors=2,
        event_set=event_set,
    )
    n = len(ids)
    rows = [(ids[i], ids[(i + rank + 1) % n], rank, 1.0 - rank / 10) for i in range(n) for rank in range(2)]
    edges = pa.table([list(column) for column in zip(*rows, strict=True)], schema=schema.EDGES)
    store.replace(table_name(spec), edges)
    FeatureRegistry(store).register(spec)
    return spec


def add_recommendations(store: Store, *, model: str = "popularity", release: int = 1) -> RecommendationsSpec:
    """Registered lists of one model, fitted on a release: every user gets i1, i0."""
    spec = RecommendationsSpec(
        feature=model,
        view="lists",
        entity="user",
        model=model,
        config_digest="0" * 32,
        release=str(release),
        top_k=2,
    )
    rows = [(user, item, rank, 1.0 - rank) for user in USER_IDS for rank, item in enumerate(("i1", "i0"))]
    lists = pa.table([list(column) for column in zip(*rows, strict=True)], schema=schema.RECOMMENDATIONS)
    store.replace(table_name(spec), lists)
    FeatureRegistry(store).register(spec)
    return spec


def fill_store(store: Store) -> SplitRecord:
    """Everything: item texts (one failed), two text views of users, vectors, graph, lists."""
    split = add_sources(store)
    texts: dict[str, str | None] = {i: f"A good text about {i}." for i in ITEM_IDS}
    item_text = add_texts(store, texts | {"i5": None})
    vectors = add_vectors(store, item_text, ITEM_IDS[4::-1])
    add_graph(store, vectors, ITEM_IDS[:5])
    profiles = {u: f"{u} likes things." for u in USER_IDS}
    for view in ("forward", "fused"):
        user = add_texts(
            store, profiles, feature="user_cot", view=view, entity="user", event_set=split.event_set()
        )
        add_vectors(store, user, USER_IDS, event_set=split.event_set())
    add_recommendations(store)
    return split
