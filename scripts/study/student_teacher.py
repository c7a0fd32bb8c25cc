"""A teacher without weights for scripts/students.py: it answers ``item_semantic_id`` about the demo's shop.

The shop is invented by ``examples/demo/sample.py``, whose sentences each belong to a theme. The teacher reads
a question as a model would, finds these sentences in its data, quotes their first words and says what they
show. It answers behind an OpenAI-compatible server on loopback, so that ``featurestore generate`` asks it,
checks its answers and stores them as those of any other model.
"""

import importlib.util
import json
import sys
import threading
import tomllib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any, Final, NamedTuple

from scripts.study.datasets import ROOT

MODEL: Final = "shop-rule"
"""Its name at the server."""
_DEMO: Final = ROOT / "examples" / "demo"
_CONTEXT: Final = 8192
_QUOTED_WORDS: Final = 6
_MOST_STEPS: Final = 5


class _Theme(NamedTuple):
    """What a theme's sentences show: those on how a thing is made, and those on whom it suits."""

    made: str
    suits: str
    keywords: tuple[str, str]


_THEMES: Final[Mapping[str, _Theme]] = {
    "trail": _Theme(
        "It stands bad weather and rough use outdoors.",
        "It suits hikers and other people who are out in all seasons.",
        ("outdoor", "weatherproof"),
    ),
    "calm": _Theme(
        "It is quiet and has a soothing effect.",
        "It suits people who want rest in the evening.",
        ("relaxing", "quiet"),
    ),
    "craft": _Theme(
        "It is made with care from natural materials.",
        "It suits buyers who value good handwork over low prices.",
        ("handmade", "natural materials"),
    ),
    "smart": _Theme(
        "It has sensors or software that take over some of the work.",
        "It suits people who like gadgets and figures.",
        ("connected", "sensors"),
    ),
    "family": _Theme(
        "It is safe and simple enough for children.",
        "It suits households in which several generations use it.",
        ("family", "easy to clean"),
    ),
    "compact": _Theme(
        "It takes very little space.",
        "It suits small flats and luggage.",
        ("compact", "space saving"),
    ),
    "retro": _Theme(
        "Its style recalls the middle of the last century.",
        "It suits collectors and friends of old designs.",
        ("retro", "vintage style"),
    ),
    "sport": _Theme(
        "It is built for training and performance.",
        "It suits ambitious athletes.",
        ("sports", "performance"),
    ),
}


class _Known(NamedTuple):
    """What the teacher knows of a sentence."""

    theme: str
    is_about_people: bool


@cache
def demo_sample() -> ModuleType:
    """The demo's generator of a shop, which lies in no package."""
    path = _DEMO / "sample.py"
    spec = importlib.util.spec_from_file_location("demo_sample", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def items(count_per_category: int) -> list[dict[str, Any]]:
    """The rows of the demo's shop, in eight categories: id, title, brand, categories, description, price."""
    return demo_sample().make_sample(items_per_category=count_per_category).items


@cache
def _vocabulary() -> dict[str, Any]:
    return tomllib.loads((_DEMO / "vocabulary.toml").read_text(encoding="utf-8"))


@cache
def _sentences() -> dict[str, _Known]:
    """Every sentence that shows a theme."""
    words = _vocabulary()
    people = {each: _Known(name, True) for name, theme in words["themes"].items() for each in theme["who"]}
    things = {
        sentence: _Known(name, False)
        for category in words["categories"].values()
        for name, sentence in category["themes"].items()
    }
    return people | things


def answer(question: str) -> dict[str, Any]:
    """The teacher's answer, in the form of the prompt's schema.

    Args:
        question: A user turn of ``item_semantic_id``: the data between ``<data>`` and ``</data>``, and what
            is asked.

    Raises:
        LookupError: If the data is not of the demo's shop.
    """
    data = question.partition("<data>")[2].partition("</data>")[0]
    title = next((line for line in data.splitlines() if line.startswith("title: ")), "")
    product, category = _product(title)
    found = sorted((data.index(text), text, known) for text, known in _sentences().items() if text in data)
    place = category.rpartition(" > ")[2].lower()
    steps = [{"quote": product, "characteristic": f"It is a product for {place}."}]
    steps += [{"quote": _first_words(text), "characteristic": _shown(known)} for _, text, known in found]
    themes = list(dict.fromkeys(known.theme for _, _, known in found))
    keywords = [product.lower(), place]
    keywords += [word for theme in themes[:2] for word in _THEMES[theme].keywords]
    return {"CoT": steps[:_MOST_STEPS], "keywords": keywords}


def _product(title: str) -> tuple[str, str]:
    """The product that a title ends with, and the path of its category."""
    for category in _vocabulary()["categories"].values():
        for name, _, _ in category["products"]:
            if title.endswith(f" {name}"):
                return name, category["path"]
    raise LookupError(f"{title!r} names no product of the demo's shop")


def _shown(known: _Known) -> str:
    theme = _THEMES[known.theme]
    return theme.suits if known.is_about_people else theme.made


def _first_words(sentence: str) -> str:
    return " ".join(sentence.split()[:_QUOTED_WORDS]).rstrip(",.:;")


@contextmanager
def teacher_server() -> Generator[str]:
    """The teacher behind a server on loopback for as long as the block lasts; gives its ``base_url``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the base class's signature
        pass

    def do_GET(self) -> None:
        card = {"id": MODEL, "owned_by": "students", "max_model_len": _CONTEXT}
        is_list = self.path == "/v1/models"
        self._send(200 if is_list else 404, {"object": "list", "data": [card]} if is_list else {})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = asked["messages"][-1]["content"]
        try:
            text = json.dumps(answer(question), ensure_ascii=False)
        except LookupError as error:
            self._send(400, {"error": {"message": str(error)}})
            return
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        self._send(200, {"object": "chat.completion", "choices": [choice]})

    def _send(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
