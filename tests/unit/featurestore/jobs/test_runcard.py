from datetime import UTC, datetime, timedelta

import pytest

from featurestore.errors import MissingVersionError, StoreError
from featurestore.jobs.runcard import (
    PlannedRun,
    RunCard,
    find_run,
    list_runs,
    new_run_id,
    read_run_card,
    recent_cards,
    write_run_card,
)
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


class _Shaky(MemoryStore):
    """A store whose objects refuse the first few writes."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.left = refusals
        put = self.objects.put_new

        def put_new(path: str, data: bytes) -> bool:
            self.left -= 1
            if self.left >= 0:
                raise StoreError("no answer")
            return put(path, data)

        self.objects.put_new = put_new  # pyright: ignore[reportAttributeAccessIssue]


def test_a_store_that_does_not_answer_is_asked_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("featurestore.jobs.runcard.time.sleep", waits.append)
    store = _Shaky(3)
    write_run_card(store, _card("r1"))
    assert read_run_card(store, "r1") == _card("r1")
    assert waits == [0.25, 0.5, 1.0]
    with pytest.raises(StoreError, match="no answer"):
        write_run_card(_Shaky(4), _card("r1"))


def test_the_plan_is_compared_with_what_happened() -> None:
    planned = PlannedRun(prompt_tokens=110, cached_tokens=40, output_tokens=45, seconds=3.0)
    card = _card("r1").model_copy(
        update={"planned": planned, "prompt_tokens": 100, "cached_tokens": 0, "output_tokens": 50}
    )
    errors = card.plan_errors
    assert errors == pytest.approx(
        {"prompt_tokens": 0.1, "output_tokens": -0.1, "tokens": 155 / 150 - 1, "seconds": 1.0}
    )
    assert _card("r1").plan_errors == {}


def test_a_run_is_found_by_the_beginning_of_its_id() -> None:
    store = MemoryStore()
    with pytest.raises(MissingVersionError, match="the store holds no run"):
        find_run(store, None)
    for run_id in ("20260101-a", "20260102-b", "20260103-c"):
        write_run_card(store, _card(run_id))
    assert find_run(store, "20260102").run_id == "20260102-b"
    assert find_run(store, None).run_id == "20260103-c"
    assert [card.run_id for card in recent_cards(store, 2)] == ["20260103-c", "20260102-b"]
    with pytest.raises(MissingVersionError, match="3 runs begin with '2026'") as caught:
        find_run(store, "2026")
    assert caught.value.hint == "The newest are: 20260103-c, 20260102-b, 20260101-a."
