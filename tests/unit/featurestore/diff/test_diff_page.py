"""The page that shows what differs: complete, self-contained, and safe for hostile text."""

import re
from html.parser import HTMLParser

import pytest
from diff_samples import connect_nodes, first_release, put_codes, release, turn
from store_samples import add_texts

from featurestore.diff.page import render_page
from featurestore.diff.releases import diff_releases
from featurestore.gate_result import GateResult
from featurestore.schema import ITEMS
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore

HOSTILE = '</bdi><script>alert("x")</script><img src="https://evil.example/x.png"> \x1b\u202eKettle'


class _Page(HTMLParser):
    """Every tag, the tags that are open, and all attributes that could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in {"meta", "br", "rect", "line"}:
            self.open.append(tag)
        self.loaded += [name for name, _ in attrs if name in {"src", "href", "srcset", "action", "style"}]

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"rect", "line"}:
            assert self.open.pop() == tag


@pytest.fixture
def store() -> Store:
    made = first_release(MemoryStore())
    put_codes(made, {"i0": (1, 2, 0), "i1": (3, 4, 0)})
    add_texts(made, {"i1": "A light steel kettle."})
    release(made)
    add_texts(made, {"i0": f"{HOSTILE} 1", "i1": "A heavy steel kettle."})
    turn(made, {"i0": [0.0, 1.0, 0.0, 0.0]})
    connect_nodes(made, {"i0": ["i2", "i3"], "i1": ["i0", "i2"], "i2": ["i0", "i1"], "i3": ["i4"]})
    put_codes(made, {"i0": (1, 5, 0), "i1": (3, 4, 0)})
    hostile = dict.fromkeys(ITEMS.names) | {"item_id": "i3", "title": HOSTILE}
    made.upsert("source.items", made.read("source.items").from_pylist([hostile], schema=ITEMS), key="item_id")
    gate = GateResult(gate="drift", feature="vector item_text.text", value=0.3, threshold=0.2, passed=False)
    release(made, gate)
    return made


def _page(store: Store, before: str = "2", after: str = "3") -> tuple[str, _Page]:
    html = render_page(diff_releases(store, before, after))
    page = _Page()
    page.feed(html)
    return html, page


def test_it_shows_every_kind_of_change(store: Store) -> None:
    html, page = _page(store)
    assert "Release 2" in html
    assert re.search(r"<td>vector item_text\.text</td><td>5</td><td>5</td>.*<td>rows</td>", html)
    assert "<td>drift</td><td>vector item_text.text</td><td>-</td><td>0.3</td>" in html
    assert "refuses" in html
    assert "<del>light</del> <ins>heavy</ins>" in html
    assert "2 rewritten, 0 new, 0 gone, 3 the same" in html
    assert "1 moved, 0 new, 0 gone, 4 the same" in html
    assert "1 kept; its vector moved by 1" in html
    assert "<td>1-2-0</td><td>1-5-0</td>" in html
    assert page.tags.count("svg") == 3
    assert page.open == []


def test_it_needs_nothing_else_and_holds_hostile_text_as_text(store: Store) -> None:
    html, page = _page(store)
    assert not {"script", "img", "link", "iframe", "object", "form", "a"} & set(page.tags)
    assert page.loaded == []
    assert "default-src 'none'" in html
    assert html.count("&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;") >= 2
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", html)
    assert html.count("<bdi>") == html.count("</bdi>")


def test_a_release_against_itself(store: Store) -> None:
    html, page = _page(store, "3", "3")
    assert "No table changed." in html
    assert "svg" not in page.tags
    assert "article" not in page.tags
