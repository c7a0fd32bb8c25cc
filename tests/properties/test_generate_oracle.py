"""Whatever happens to a catalogue, a generation asks exactly what an independent oracle says is stale."""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from generation_world import STAGES, CountingEngine, item_cot, put_items, run, table_of
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.spec import Sampling
from featurestore.stores.memory import MemoryStore
from llm_jobs.engine import Message, Request
from llm_jobs.engines.echo import EchoEngine, EchoOptions
from llm_jobs.parse import ParsedAnswer, parse_answer
from llm_jobs.prompt import Stage
from llm_jobs.render import conversation

_WORDINGS = ("What is it, in short?", "Name the strongest and the weakest side.")
_ENGINE = EchoOptions(gibberish_rate=0.25, concurrency=3)
_ATTEMPTS = 2

_ITEM = st.integers(0, 5)
_TITLE = st.sampled_from(["Kettle", "Teapot", "Mug", None])
_STEP = st.one_of(
    st.tuples(st.just("put"), _ITEM, _TITLE),
    st.tuples(st.just("price"), _ITEM, st.integers(1, 9)),
    st.tuples(st.just("delete"), _ITEM, st.none()),
    st.tuples(st.just("wording"), st.sampled_from(_WORDINGS), st.none()),
    st.tuples(st.just("run"), st.none() | st.integers(1, 3), st.booleans()),
    st.tuples(st.just("stop"), st.integers(0, 12), st.none()),
)

Row = tuple[tuple[Any, ...], str | None, int]
"""What a row was made from, its answer (None if it failed), and how many answers were drawn."""


def _draw(
    messages: tuple[Message, ...], stage: Stage, sample_index: int
) -> tuple[str | None, tuple[Message, ...]]:
    """The answer, if it is valid, and else what the model is told before it is asked again."""
    engine = EchoEngine(_ENGINE)
    sampling = Sampling(seed=sample_index)
    engine.submit([Request("k", messages, sampling, output_schema=stage.output_schema)])
    (completion,) = engine.poll(1.0)
    assert completion.text is not None
    parsed = parse_answer(completion.text, stage)
    if isinstance(parsed, ParsedAnswer):
        return parsed.canonical, ()
    complaint = f"This answer cannot be used: {parsed.detail}. Answer the last question again, "
    return None, (
        Message("assistant", completion.text),
        Message("user", f"{complaint}in the form it asks for."),
    )


class _World:
    """The system under test beside a plain model of what it should hold."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.folder = folder
        self.items: dict[str, dict[str, Any]] = {"i0": {"title": "Kettle"}}
        self.wording = _WORDINGS[0]
        self.rows: dict[tuple[str, str], dict[str, Row]] = {}
        self.asked: set[tuple[Any, ...]] = set()
        self.known: set[tuple[Any, ...]] = set()
        """Requests that were answered once: they are never asked again."""

    def apply(self, step: tuple[str, Any, Any]) -> None:
        match step:
            case ("put", number, title):
                self.items[f"i{number}"] = {**self.items.get(f"i{number}", {}), "title": title}
            case ("price", number, price) if f"i{number}" in self.items:
                self.items[f"i{number}"]["price"] = float(price)
            case ("delete", number, _):
                self.items.pop(f"i{number}", None)
            case ("wording", wording, _):
                self.wording = wording
            case ("run", limit, only_failed):
                self.run(limit, only_failed=only_failed)
            case ("stop", completions, _):
                self.stop(completions)
            case _:
                pass

    def run(self, limit: int | None, *, only_failed: bool) -> None:
        self.expect(limit, only_failed=only_failed)
        engine = CountingEngine(_ENGINE)
        put_items(self.store, self.items)
        prompt = item_cot(self.wording)
        report = run(self.store, self.folder, engine, prompt, limit=limit, only_failed=only_failed)
        assert {(r.messages, r.sampling.seed) for r in engine.requests} == self.asked - self.known
        assert report.requests == len(engine.requests) == len(self.asked - self.known)
        self.known |= self.asked
        self.check()

    def stop(self, completions: int) -> None:
        """Ctrl-C after some completions: every answer that arrived must have reached its rows."""
        before = {view: dict(self.stage_rows(view)) for view in STAGES}
        run_ids = {view: self.stored(view, "run_id") for view in STAGES}
        self.expect(None, only_failed=False)
        finished = {view: self.stage_rows(view) for view in STAGES}
        engine = CountingEngine(_ENGINE, stop_after=completions)
        put_items(self.store, self.items)
        with suppress(KeyboardInterrupt):
            run(self.store, self.folder, engine, item_cot(self.wording))
        self.known |= {(r.messages, r.sampling.seed) for r in engine.requests if r.key in engine.answered}
        for view in STAGES:
            stored = self.stored(view, "run_id")
            old = {i: row for i, row in before[view].items() if i in self.items}
            new = {i for i in stored if stored[i] != run_ids[view].get(i)}
            assert set(old) <= set(stored)
            self.rows[view, self.version(view)] = {
                i: (finished[view] if i in new else old)[i] for i in stored
            }
        self.check()

    def expect(self, limit: int | None, *, only_failed: bool) -> None:
        """Bring the model to what a complete run should leave, and note what it should ask."""
        self.asked = set()
        for view in STAGES:
            rows = self.stage_rows(view)
            for gone in set(rows) - set(self.items):
                del rows[gone]
        worked = 0
        for item_id in sorted(self.items):
            if worked == limit:
                return
            first = self.first_due(item_id, only_failed=only_failed)
            if first is None or (only_failed and not self.has_failed(first, item_id)):
                continue
            worked += 1
            self.walk(item_id, only_failed=only_failed)

    def first_due(self, item_id: str, *, only_failed: bool) -> str | None:
        answers: dict[str, str | None] = {}
        for stage in item_cot(self.wording).stages:
            row = self.stage_rows(stage.name).get(item_id)
            if row is None or row[0] != self.source(item_id, stage, answers):
                return stage.name
            if only_failed and row[1] is None:
                return stage.name
            answers[stage.name] = row[1]
        return None

    def walk(self, item_id: str, *, only_failed: bool) -> None:
        prompt = item_cot(self.wording)
        fields = {"description": None, "categories": None, "brand": None, **self.items[item_id]}
        answers: dict[str, str | None] = {}
        for stage in prompt.stages:
            rows = self.stage_rows(stage.name)
            source = self.source(item_id, stage, answers)
            row = rows.get(item_id)
            same = row is not None and row[0] == source
            if row is not None and same and (row[1] is not None or not only_failed):
                answers[stage.name] = row[1]
                continue
            drawn = row[2] if row is not None and same else 0
            answer = None
            if fields["title"] is not None and None not in [answers[u] for u in stage.upstream]:
                messages = conversation(prompt, stage, fields, {u: answers[u] or "" for u in stage.upstream})
                complaint: tuple[Message, ...] = ()
                for _ in range(_ATTEMPTS):
                    self.asked.add((messages + complaint, drawn))
                    answer, complaint = _draw(messages + complaint, stage, drawn)
                    drawn += 1
                    if answer is not None:
                        break
            answers[stage.name] = answer
            rows[item_id] = (source, answer, drawn)

    def source(self, item_id: str, stage: Stage, answers: dict[str, str | None]) -> tuple[Any, ...]:
        return (self.items[item_id]["title"], *(answers[u] for u in stage.upstream))

    def has_failed(self, view: str, item_id: str) -> bool:
        row = self.stage_rows(view).get(item_id)
        return row is not None and row[1] is None

    def version(self, view: str) -> str:
        return self.wording if view == "fused" else ""

    def stage_rows(self, view: str) -> dict[str, Row]:
        return self.rows.setdefault((view, self.version(view)), {})

    def stored(self, view: str, *columns: str) -> dict[str, tuple[Any, ...]]:
        table = table_of(view, item_cot(self.wording))
        if self.store.latest(table) is None:
            return {}
        rows = self.store.read(table).to_pylist()
        assert len({row["id"] for row in rows}) == len(rows), "a row is doubled"
        return {row["id"]: tuple(row[name] for name in columns) for row in rows}

    def check(self) -> None:
        for view in STAGES:
            expected = {i: _seen(row) for i, row in self.stage_rows(view).items()}
            assert self.stored(view, "answer", "attempts") == expected, view


def _seen(row: Row) -> tuple[str | None, int]:
    return row[1], row[2]


@settings(max_examples=60)
@given(st.lists(_STEP, max_size=14))
def test_requests_and_rows_are_exactly_the_oracles(steps: list[tuple[str, Any, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = _World(Path(folder))
        for step in steps:
            world.apply(step)
        world.run(None, only_failed=False)
        world.run(None, only_failed=False)
        assert world.asked == set()
