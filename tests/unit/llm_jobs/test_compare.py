import re
from collections.abc import Generator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
from generation_world import PROMPTS, catalogue, item_cot, put_items, run

from featurestore.errors import InputError, UsageError
from featurestore.features import FeatureRegistry
from featurestore.schema import TEXTS
from featurestore.spec import PlainTextSpec, table_name
from featurestore.splits import current_split
from featurestore.stores.memory import MemoryStore
from llm_jobs.compare import compare
from llm_jobs.compare_page import render_page
from llm_jobs.compare_result import Comparison, Contender, number_rows, summary
from llm_jobs.compare_sample import copy_entities, draw_ids
from llm_jobs.encoders import encoder_spec
from llm_jobs.encoders.hashing import HashingEncoder
from llm_jobs.engines import OpenModel
from llm_jobs.engines.echo import EchoEngine, EchoOptions
from llm_jobs.models import ModelEntry, find_encoder, find_model, model_spec
from llm_jobs.prompt import Prompt, load_prompt
from llm_jobs.redteam_world import PlacedText, build_world

HOSTILE = '</bdi><script>alert("x")</script><img src="https://evil.example/x.png"> \u202eKettle'


class Engines:
    """Opens echo engines and remembers how many were open at once."""

    def __init__(self, gibberish_rate: float = 0.0) -> None:
        self.opened: list[str] = []
        self.most_open = 0
        self._open = 0
        self._gibberish_rate = gibberish_rate

    @contextmanager
    def __call__(self, entry: ModelEntry) -> Generator[OpenModel]:
        self.opened.append(entry.alias)
        self._open += 1
        self.most_open = max(self.most_open, self._open)
        rate = self._gibberish_rate if len(self.opened) == 2 else 0.0
        yield OpenModel(entry, model_spec(entry), EchoEngine(EchoOptions(gibberish_rate=rate)))
        self._open -= 1


def _store(size: int = 30) -> MemoryStore:
    store = MemoryStore()
    put_items(store, catalogue(size))
    return store


def _compare(
    store: MemoryStore,
    a: Prompt,
    b: Prompt,
    engines: Engines | None = None,
    *,
    sample: int = 12,
    seed: int = 0,
) -> Comparison:
    entry = find_model("echo", {})
    return compare(
        store,
        (Contender(a, entry), Contender(b, entry)),
        open_engine=engines or Engines(),
        encoder=HashingEncoder(encoder_spec(find_encoder("hashing", {}))),
        sample=sample,
        seed=seed,
    )


def test_both_sides_run_the_same_sample_and_the_store_stays_as_it_was() -> None:
    store = _store()
    before = {table: store.latest(table) for table in store.tables()}
    engines = Engines()
    found = _compare(store, item_cot(), item_cot("Which attributes decide?"), engines)
    assert {table: store.latest(table) for table in store.tables()} == before
    assert store.objects.list("") == []
    assert list(found.titles) == sorted(found.a.outcomes) == sorted(found.b.outcomes)
    assert len(found.titles) == 12
    assert engines.opened == ["echo", "echo"]
    assert engines.most_open == 1
    # Only the fused question differs: the stages before it have equal texts.
    for entity_id in found.titles:
        one, other = found.a.outcomes[entity_id], found.b.outcomes[entity_id]
        assert [o.text for o in one[:2]] == [o.text for o in other[:2]]
        assert one[2].text != other[2].text
    assert found.num_equal == 0


def test_a_sample_depends_on_the_seed_and_hardly_on_the_catalogue() -> None:
    small, grown = _store(30), _store(31)
    drawn = draw_ids(small, "item", 10, 0)
    assert drawn == draw_ids(small, "item", 10, 0)
    assert drawn != draw_ids(small, "item", 10, 1)
    assert len(set(drawn) & set(draw_ids(grown, "item", 10, 0))) >= 9
    assert len(draw_ids(small, "item", 100, 0)) == 30


def test_texts_that_are_stored_already_are_written_again(tmp_path: Path) -> None:
    """Else the numbers would be those of a run that asks nothing."""
    store = _store(3)
    run(store, tmp_path)
    found = _compare(store, item_cot(), item_cot("Which?"), sample=3)
    assert found.a.report.requests == found.b.report.requests == 9


def test_failures_are_counted_by_reason() -> None:
    found = _compare(_store(), item_cot(), item_cot("Which?"), Engines(gibberish_rate=0.4))
    assert found.a.failures == {}
    assert set(found.b.failures) == {"no_json", "upstream_failed"}
    numbers = summary(found.b)
    assert numbers["failed_rows"] == sum(found.b.failures.values())
    assert 0 < numbers["failure_rate"] < 1
    assert numbers["texts"] == sum(found.b.text(i) is not None for i in found.titles)
    names = [row.name for row in number_rows(found.a, found.b)]
    assert names.index("of these no_json") == names.index("failed rows") + 1
    assert "failed: no_json" in render_page(found)


def test_neighbours_are_those_of_texts_that_both_sides_have() -> None:
    found = _compare(_store(), item_cot(), item_cot("Which?"), Engines(gibberish_rate=0.4))
    assert found.neighbours is not None
    common = [i for i in found.titles if found.b.text(i) is not None]
    by_a, by_b = found.neighbours.by_side
    assert list(by_a) == list(by_b) == common
    assert all(len(near) == found.neighbours.k and entity_id not in near for entity_id, near in by_a.items())
    shared = sum(len(set(by_a[i]) & set(by_b[i])) for i in common)
    assert found.neighbours.overlap == pytest.approx(shared / (len(common) * found.neighbours.k))


def test_equal_texts_have_equal_neighbours() -> None:
    """The second prompt may write more tokens, which the echo model does not need."""
    last = item_cot().stages[2]
    longer = last.model_copy(update={"max_tokens": last.max_tokens + 1})
    other = item_cot().model_copy(update={"stages": (*item_cot().stages[:2], longer)})
    found = _compare(_store(), item_cot(), other)
    assert found.num_equal == 12
    assert found.neighbours is not None
    assert found.neighbours.overlap == 1.0


def test_one_text_has_no_neighbours() -> None:
    found = _compare(_store(), item_cot(), item_cot("Which?"), sample=1)
    assert found.neighbours is None
    assert found.as_dict()["neighbour_overlap"] is None
    assert "nearest neighbours" not in render_page(found)


def test_contenders_must_differ_and_meet() -> None:
    with pytest.raises(UsageError, match=r"both sides are item_cot@[0-9a-f]{8} by echo: there is nothing"):
        _compare(_store(), item_cot(), item_cot())
    with pytest.raises(UsageError, match="'item_cot' describes items and 'user_cot' users"):
        _compare(_store(), item_cot(), load_prompt(PROMPTS / "user_cot.toml"))
    with pytest.raises(InputError, match=r"no source\.items: nothing was ingested"):
        _compare(MemoryStore(), item_cot(), item_cot("Which?"))


def test_users_come_with_their_events_and_the_texts_of_their_items() -> None:
    prompt = load_prompt(PROMPTS / "user_cot.toml")
    store = build_world(prompt, [PlacedText(f"u{n}", "title", f"Kettle {n}", n) for n in range(6)])
    spec = PlainTextSpec(
        feature="item_cot", view="fused", entity="item", fields=("title",), template_digest="x"
    )
    row = {
        "id": "u1-1",
        "status": "ok",
        "text": "A kettle.",
        "fingerprint": "x",
        "attempts": 1,
        "run_id": "r",
    }
    store.replace(table_name(spec), pa.Table.from_pylist([row, {**row, "id": "u2-1"}], schema=TEXTS))
    FeatureRegistry(store).register(spec)
    copy = copy_entities(store, prompt, ["u1", "u3"])
    assert copy.read("source.interactions").num_rows == 6
    assert copy.read("source.items").num_rows == 6
    assert copy.read(table_name(spec))["id"].to_pylist() == ["u1-1"]
    record, original = current_split(copy), current_split(store)
    assert record is not None
    assert original is not None
    assert record.event_set() == original.event_set()
    found = _compare(store, prompt, prompt.with_limits(max_field_chars=40), sample=4)
    assert found.a.failures == found.b.failures == {}
    assert found.entity == "user"


class _Page(HTMLParser):
    """Tags, and every attribute value that could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [
            value or "" for name, value in attrs if name in {"src", "href", "srcset", "action", "style"}
        ]


def test_the_page_needs_nothing_else_and_holds_hostile_text_as_text() -> None:
    store = MemoryStore()
    items = {f"i{n}": {"title": f"{HOSTILE} {n}", "description": "A steel kettle."} for n in range(4)}
    put_items(store, items)
    found = _compare(store, item_cot(), item_cot("Which?"), sample=4)
    html = render_page(found)
    page = _Page()
    page.feed(html)
    assert not {"script", "img", "link", "iframe", "object", "form"} & set(page.tags)
    assert page.links
    assert all(re.fullmatch(r"#e\d+", link) for link in page.links)
    assert html.count("&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;") >= 4
    assert "default-src 'none'" in html
    assert page.tags.count("article") == 4
    assert page.tags.count("svg") == 3
    assert html.count("<bdi>") == html.count("</bdi>")


def test_the_page_holds_no_control_characters() -> None:
    store = MemoryStore()
    put_items(
        store, {f"i{n}": {"title": f"\x1b[31mred\x00 {n}", "description": "A kettle."} for n in range(2)}
    )
    html = render_page(_compare(store, item_cot(), item_cot("Which?"), sample=2))
    assert "\ufffd[31mred\ufffd 1" in html
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", html)
