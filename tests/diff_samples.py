"""Two releases to compare: a small store, and what may change in it between them."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from store_samples import ITEM_IDS, fill_store, vector_rows

from featurestore.features import FeatureRegistry
from featurestore.gate_result import GateResult
from featurestore.ids import digest, digest_texts
from featurestore.release import Manifest, ReleaseCatalog, TablePin
from featurestore.schema import CODES, EDGES
from featurestore.snapshot import write_snapshot
from featurestore.spec import AnySpec, CodesSpec, Kind, SourceSpec, table_name
from featurestore.splits import current_split
from featurestore.store import Store

TEXTS = {i: f"A good text about {i}." for i in ITEM_IDS[:5]}


def release(store: Store, *gates: GateResult) -> int:
    """Pin the newest version of everything, whatever the gates of `publish` would say of it."""
    sources = [
        SourceSpec(feature=name.removeprefix("source."), view="rows")
        for name in store.tables()
        if name.startswith("source.")
    ]
    specs: list[AnySpec] = [*sources, *(head.spec for head in FeatureRegistry(store).heads())]
    catalog = ReleaseCatalog(store)
    number = len(catalog.numbers()) + 1
    assert catalog.add(
        Manifest(
            number=number,
            created_at="2026-01-01T00:00:00+00:00",
            split=current_split(store),
            pins=tuple(_pin(store, spec) for spec in specs),
            gates=gates,
            product_version="test",
        )
    )
    return number


def _pin(store: Store, spec: AnySpec) -> TablePin:
    table = table_name(spec)
    version = store.latest(table)
    assert version is not None
    rows = sorted(store.read(table).to_pylist(), key=str)
    checksum = digest_texts(map(str, rows))
    return TablePin(
        spec=spec,
        table=table,
        version=version.version,
        num_rows=version.num_rows,
        num_failed=sum(row.get("status") == "failed" for row in rows),
        checksum=checksum,
        snapshot=write_snapshot(store, table, version.version, checksum) if spec.kind == "vector" else None,
    )


def head(store: Store, kind: Kind, feature: str = "item_text", view: str = "text") -> AnySpec:
    return FeatureRegistry(store).head(kind, feature, view).spec


def turn(store: Store, vectors: dict[str, list[float]]) -> None:
    """Give items these vectors."""
    rows = vector_rows(list(vectors), np.array(list(vectors.values()), np.float32))
    store.upsert(table_name(head(store, "vector")), rows, key="id")


def connect_nodes(store: Store, neighbors: dict[str, Sequence[str]]) -> None:
    """Make these the edges of the item graph."""
    edges = [
        {"src_id": node, "dst_id": other, "rank": rank, "score": 1.0 - rank / 8}
        for node, others in neighbors.items()
        for rank, other in enumerate(others)
    ]
    store.replace(table_name(head(store, "graph")), pa.Table.from_pylist(edges, schema=EDGES))


def put_codes(
    store: Store, ids: dict[str, tuple[int, ...]], codebook: str = "a", *, feature: str = "item_text"
) -> None:
    """Semantic ids, the collision digit last, as the head of their view."""
    spec = CodesSpec(
        feature=feature,
        view="text",
        entity="item",
        vector_digest=head(store, "vector", feature).digest,
        codebook=digest(codebook),
        num_levels=len(next(iter(ids.values()))) - 1,
        codebook_size=8,
        beam_size=1,
    )
    rows = [
        {"id": i, "codes": codes[:-1], "collision": codes[-1], "text_digest": "d", "run_id": "run"}
        for i, codes in ids.items()
    ]
    store.replace(table_name(spec), pa.Table.from_pylist(rows, schema=CODES))
    FeatureRegistry(store).register(spec)


def first_release(store: Store) -> Store:
    """Release 1: everything of `fill_store`, item vectors along the axes."""
    fill_store(store)
    turn(store, {f"i{n}": np.eye(4)[n % 4].tolist() for n in range(5)})
    connect_nodes(store, {"i0": ["i1", "i2"], "i1": ["i0", "i2"], "i2": ["i0", "i1"], "i3": ["i4"]})
    release(store)
    return store
