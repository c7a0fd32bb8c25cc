"""What a release must hold after an erasure, worked out from what it held before."""

from pathlib import Path

import polars as pl
import pyarrow as pa
from forget_world import (
    BARTHOLOMEW,
    ITEMS,
    LIONEL,
    OTHERS,
    USERS,
)

from featurestore.forget import ForgetRequest
from featurestore.reader import Release
from featurestore.release import ReleaseCatalog
from featurestore.store import Store

ABOUT_USERS = {"text": "id", "vector": "id", "recommendations": "user_id"}


def asked(*users: str, work: Path | None = None) -> ForgetRequest:
    return ForgetRequest(user_ids=users or (BARTHOLOMEW,), work_folder=work)


def content(release: Release) -> dict[str, pl.DataFrame]:
    """All rows that a release pins, by table."""
    found: dict[str, pl.DataFrame] = {}
    for pin in release.manifest.pins:
        rows = pl.DataFrame(release._store.read(pin.table, version=pin.version))
        found[f"{pin.spec.kind} {pin.name}"] = rows
    return found


def expected(name: str, rows: pl.DataFrame, users: tuple[str, ...]) -> pl.DataFrame:
    """What should be left of a table: an oracle that knows the test's world, and no rule of the product."""
    if name == "source user_ids.rows":
        gone = rows["id"].is_in(users)
        marks = pl.Series([f"\x1fforgotten:{row}" for row in rows["row"].to_list()])
        return rows.with_columns(pl.when(gone).then(marks).otherwise(rows["id"]).alias("id"))
    if name == "source quarantine.rows":
        return rows.filter(~rows["raw"].str.contains_any(list(users)))
    if "item_reviews" in name:
        numbers = [USERS.index(user) for user in users]
        read = {ITEMS[(number + place) % len(ITEMS)] for number in numbers for place in range(5)}
        columns = ("src_id", "dst_id") if name.startswith("graph") else ("id",)
        return rows.filter(~pl.any_horizontal(pl.col(column).is_in(read) for column in columns))
    for column in ("user_id", "id", "src_id", "dst_id"):
        if column in rows.columns:
            rows = rows.filter(~pl.col(column).is_in(users))
    return rows


def check_equal(found: pl.DataFrame, wanted: pl.DataFrame, name: str) -> None:
    if name.startswith("graph"):
        order = ["src_id", "rank"]
        assert found.sort(order).drop("rank").equals(wanted.sort(order).drop("rank")), name
        ranks = found.sort(order).group_by("src_id", maintain_order=True).agg("rank")["rank"].to_list()
        assert all(each == list(range(len(each))) for each in ranks), "ranks have gaps"
    elif name == "source interactions.rows":
        assert found.equals(wanted), "the order of events is that of histories"
    else:
        key = next(column for column in ("row", "id", "user_id", "item_id", "raw") if column in found.columns)
        assert found.sort(key).equals(wanted.sort(key)), name


def change_a_text(store: Store) -> None:
    """So that the first release pins another version of a table than the second."""
    head = next(pin for pin in ReleaseCatalog(store).manifest(1).pins if pin.name == "user_cot.forward")
    row = store.read(head.table, ids=[OTHERS[0]]).to_pylist()[0] | {"text": "Likes another thing now."}
    store.upsert(head.table, pa.Table.from_pylist([row], schema=store.read(head.table).schema), key="id")
    store.delete(head.table, [LIONEL], key="id")


def check_readable(release: Release, users: tuple[str, ...]) -> None:
    """The readers agree with each other about who is there."""
    left = sorted(set(USERS) - set(users))
    vectors = release.embeddings("user_cot")
    assert vectors.ids == release.graph("user_cot").ids == left
    assert set(release.texts("user_cot")["id"]) == set(left)
    assert set(release.interactions("train")["user_id"]) == set(left)
    id_map = release.id_map("user")
    assert len(id_map) == len(USERS), "rows stay taken"
    assert len(set(id_map.row_of(left))) == len(left)
    assert not any(user in id_map for user in users)
