from datetime import UTC, datetime, timedelta

import pytest

from featurestore.errors import MissingVersionError, StoreError
from featurestore.jobs.runcard import RunCard, list_runs, new_run_id, read_run_card, write_run_card
from featurestore.stores.memory import MemoryStore


def _card(run_id: str) -> RunCard:
    return RunCard(
        run_id=run_id,
        job="generate",
        status="finished",
        started_at="2026-01-01T00:00:00+00:00",
        seconds=1.5,
        feature="item_cot",
        specs={"fused": "0" * 32},
        counts={"fused": {"ok": 3, "schema": 1}},
        product_version="0.1.0",
        python_version="3.11.0",
    )


def test_a_card_comes_back_as_it_was_written() -> None:
    store = MemoryStore()
    write_run_card(store, _card("r1"))
    assert read_run_card(store, "r1") == _card("r1")
    assert list_runs(store) == ["r1"]


def test_a_card_is_written_once() -> None:
    store = MemoryStore()
    write_run_card(store, _card("r1"))
    write_run_card(store, _card("r1"))  # the first acknowledgement may have been lost
    with pytest.raises(StoreError, match="run r1 has a run card already"):
        write_run_card(store, _card("r1").model_copy(update={"status": "failed"}))


def test_an_unknown_run_is_named() -> None:
    with pytest.raises(MissingVersionError, match="r9"):
        read_run_card(MemoryStore(), "r9")


def test_run_ids_sort_by_time_and_never_repeat() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ids = [new_run_id(start + timedelta(milliseconds=n)) for n in range(50)]
    assert ids == sorted(ids)
    assert new_run_id(start) != new_run_id(start)
