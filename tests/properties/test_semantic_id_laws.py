"""Laws of semantic ids under frozen codebooks, over random nights in which items come, change and go."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore import columns as c
from featurestore import schema
from featurestore.codes.build import CodesReport, build_codes
from featurestore.codes.codebooks import load_codebooks
from featurestore.codes.collision_digits import issued_table
from featurestore.codes.generations import SemanticIdOptions
from featurestore.errors import StoreError
from featurestore.features import FeatureRegistry
from featurestore.ids import digest_bytes
from featurestore.semantic_ids import SemanticIds
from featurestore.spec import EncoderSpec, VectorSpec, table_name
from featurestore.stores.memory import MemoryStore

WIDTH = 3
ENCODER = EncoderSpec(name="e", model="m", pooling="mean", normalized=True, embedding_dim=WIDTH, max_tokens=8)
OPTIONS = SemanticIdOptions(num_levels=2, codebook_size=2)
"""Four codes for up to eight items: collisions everywhere."""

Night = dict[str, str]
"""Item → its text. Equal texts have equal vectors."""
Ids = dict[str, tuple[int, ...]]
"""Item → its semantic id."""

TEXTS = ("t0", "t1", "t2", "t3", "t4")
NIGHTS = st.lists(
    st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(TEXTS), min_size=2), min_size=2, max_size=6
)

FIRST_NIGHT: Night = dict(zip("abcde", TEXTS, strict=True))
"""All texts: the codebooks that it trains keep them well apart."""


def vector_of(text: str) -> npt.NDArray[np.float32]:
    return np.random.default_rng(TEXTS.index(text)).normal(size=WIDTH).astype(np.float32)


def put_vectors(store: MemoryStore, night: Night, *, wording: str = "0") -> None:
    """Make the night's vectors the head; another wording is another text spec, and so another vector spec."""
    spec = VectorSpec(feature="sid", view="text", entity="item", text_digest=wording * 32, encoder=ENCODER)
    rows = [
        {
            c.ID: item,
            c.VECTOR: vector_of(text),
            c.TEXT_DIGEST: digest_bytes(text.encode()),
            c.EVENT_SET: None,
            c.RUN_ID: "r",
        }
        for item, text in night.items()
    ]
    store.replace(table_name(spec), pa.Table.from_pylist(rows, schema=schema.vectors(WIDTH)))
    FeatureRegistry(store).register(spec)


def build(store: MemoryStore) -> CodesReport:
    return build_codes(store, feature="sid", view="text", options=OPTIONS)


def ids_of(store: MemoryStore, report: CodesReport) -> Ids:
    rows = pl.DataFrame(store.read(report.table.table, version=report.table.version))
    ids = SemanticIds(rows, report.spec)
    return {item: tuple(row) for item, row in zip(ids.ids, ids.matrix.tolist(), strict=True)}


def replay(nights: Sequence[Night], store: MemoryStore) -> list[Ids]:
    found: list[Ids] = []
    for night in nights:
        put_vectors(store, night)
        found.append(ids_of(store, build(store)))
    return found


@settings(max_examples=40)
@given(nights=NIGHTS)
def test_ids_hold_still_and_are_never_given_to_another(nights: list[Night]) -> None:
    store = MemoryStore()
    first_given: dict[tuple[str, str], tuple[int, ...]] = {}
    owner: dict[tuple[int, ...], str] = {}
    before: Night = {}
    for night, ids in zip(nights, replay(nights, store), strict=True):
        assert ids.keys() == night.keys(), "gone items have no id, all others have one"
        for item, text in night.items():
            assert ids[item] == first_given.setdefault((item, text), ids[item]), "once given, always given"
            assert owner.setdefault(ids[item], item) == item, "an id means one item for good"
        unchanged = before.items() & night.items()
        assert len({ids[item] for item, _ in unchanged}) == len(unchanged)
        before = night


@settings(max_examples=25)
@given(nights=NIGHTS)
def test_codes_are_the_nearest_centroids_and_digits_count_up(nights: list[Night]) -> None:
    """Against the definition: greedy codes of each text, and digits by first appearance, then by id."""
    store = MemoryStore()
    issued: dict[tuple[int, ...], list[str]] = {}
    for night in [FIRST_NIGHT, *nights]:
        put_vectors(store, night)
        report = build(store)
        centroids = load_codebooks(store.objects, report.spec.codebook).centroids.astype(np.float64)
        codes = {text: greedy(vector_of(text), centroids) for text in set(night.values())}
        for item in sorted(night):
            holders = issued.setdefault(codes[night[item]], [])
            holders += [] if item in holders else [item]
        expected = {item: (*codes[text], issued[codes[text]].index(item)) for item, text in night.items()}
        assert ids_of(store, report) == expected
    rows = store.read(issued_table(report.spec)).to_pylist()
    stored = {(row[c.PREFIX], row[c.COLLISION]): row[c.ID] for row in rows}
    assert stored == {
        ("-".join(map(str, codes)), digit): item
        for codes, holders in issued.items()
        for digit, item in enumerate(holders)
    }
    assert {row[c.SEMANTIC_ID] for row in rows} == {f"{prefix}-{digit}" for prefix, digit in stored}


def greedy(vector: npt.NDArray[np.float32], centroids: npt.NDArray[np.float64]) -> tuple[int, ...]:
    residual, codes = vector.astype(np.float64), []
    for level in centroids:
        codes.append(int(((residual - level) ** 2).sum(axis=1).argmin()))
        residual = residual - level[codes[-1]]
    return tuple(codes)


@settings(max_examples=20)
@given(nights=NIGHTS, switch=st.integers(0, 5))
def test_another_vector_spec_of_the_same_space_moves_nothing(nights: list[Night], switch: int) -> None:
    """A new prompt, say: items whose text came out the same keep their ids, as if nothing had happened."""
    expected = replay(nights, MemoryStore())
    store = MemoryStore()
    for number, night in enumerate(nights):
        put_vectors(store, night, wording="0" if number < switch else "1")
        assert ids_of(store, build(store)) == expected[number]


class FailingStore(MemoryStore):
    """Refuses its n-th write, and all after it, until told otherwise."""

    def __init__(self) -> None:
        super().__init__("failing")
        self.writes_left = -1

    def upsert(self, *args: Any, **options: Any) -> Any:
        self._count()
        return super().upsert(*args, **options)

    def delete(self, *args: Any, **options: Any) -> Any:
        self._count()
        return super().delete(*args, **options)

    def _count(self) -> None:
        if self.writes_left == 0:
            raise StoreError("stopped")
        self.writes_left -= 1


@settings(max_examples=25)
@given(nights=NIGHTS, writes=st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_a_run_that_was_stopped_goes_on_to_the_same_ids(nights: list[Night], writes: list[int]) -> None:
    expected = replay(nights, MemoryStore())
    store = FailingStore()
    for number, night in enumerate(nights):
        store.writes_left = -1
        put_vectors(store, night)
        store.writes_left = writes[number % len(writes)]
        try:
            build(store)
        except StoreError:
            store.writes_left = -1
            build(store)
        assert ids_of(store, build(store)) == expected[number]
        store.writes_left = -1


@pytest.mark.parametrize("stop", range(3))
def test_a_night_has_three_writes_to_stop_at(stop: int) -> None:
    """Ids given out, rows, and the removal of what is gone."""
    store = FailingStore()
    replay([{"a": "t0", "b": "t1"}], store)
    put_vectors(store, {"a": "t2", "c": "t0"})
    store.writes_left = stop
    with pytest.raises(StoreError, match="stopped"):
        build(store)
