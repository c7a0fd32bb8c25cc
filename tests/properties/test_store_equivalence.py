"""Law: whatever is done to them, LanceDB and the store in memory hold the same rows, at every version."""

import tempfile
from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.store import Store
from featurestore.stores.lancedb_store import LanceStore
from featurestore.stores.memory import MemoryStore

SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("note", pa.string())])

keys = st.text(st.sampled_from("ab'\"é %;"), max_size=3)
rows = st.dictionaries(keys, st.none() | st.text(max_size=4), max_size=5)
operations = st.lists(
    st.tuples(st.just("upsert"), rows)
    | st.tuples(st.just("replace"), rows)
    | st.tuples(st.just("delete"), st.lists(keys, max_size=4)),
    min_size=1,
    max_size=8,
)


def apply(store: Store, action: str, value) -> int | None:
    if action == "delete":
        return store.delete("t", value, key="id").version if store.latest("t") else None
    table = pa.table([list(value), list(value.values())], schema=SCHEMA)
    done = store.replace("t", table) if action == "replace" else store.upsert("t", table, key="id")
    return done.version


def content(store: Store, version: int) -> list[tuple[str, str | None]]:
    found = store.read("t", version=version)
    return sorted(zip(found["id"].to_pylist(), found["note"].to_pylist(), strict=True))


@settings(max_examples=25)
@given(operations)
def test_lance_and_memory_hold_the_same_rows(done):
    memory = MemoryStore()
    with tempfile.TemporaryDirectory() as folder:
        lance = LanceStore(str(Path(folder) / "store"))
        versions: list[tuple[int, int]] = []
        for action, value in done:
            first, second = apply(memory, action, value), apply(lance, action, value)
            assert (first is None) == (second is None)
            if first is not None and second is not None:
                versions.append((first, second))
                assert memory.latest("t").num_rows == lance.latest("t").num_rows
        for first, second in versions:
            assert content(memory, first) == content(lance, second)
        if versions:
            some = [key for key, _ in content(memory, versions[-1][0])][::-2]
            assert memory.read("t", ids=some).equals(lance.read("t", ids=some))
