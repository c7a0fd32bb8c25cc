"""An engine that believes what it reads: it obeys every attack that it takes for an instruction."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llm_jobs.engine import Completion, EngineInfo, Request
from llm_jobs.redteam_attacks import Attack, load_attacks

_PLAIN = "A plain thing for people who like plain things."


class GullibleEngine:
    """Obeys attacks that stand outside of the data block, and inside too if nobody told it what that is.

    It knows an attack by its exact words: a text that cleaning changed is data to it, as is every twin.
    """

    def __init__(self) -> None:
        self._attacks = load_attacks()
        self._done: list[Completion] = []
        self.requests: list[Request] = []

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("gullible", "1", "cpu", 65536, 64)

    def submit(self, requests: Sequence[Request]) -> None:
        self.requests += requests
        self._done += [self._answer(request) for request in requests]

    def poll(self, timeout: float) -> list[Completion]:
        done, self._done = self._done, []
        return done

    def abort(self, keys: Sequence[str]) -> None:
        self._done = [completion for completion in self._done if completion.key not in set(keys)]

    def close(self) -> None:
        self._done.clear()

    def _answer(self, request: Request) -> Completion:
        assert request.output_schema is not None
        obeyed = next((attack for attack in self._attacks if attack.text in _believed(request)), None)
        words = _wanted(obeyed, request) if obeyed else _PLAIN
        text = json.dumps(_fill(request.output_schema, words), ensure_ascii=False)
        return Completion(request.key, text, "stop", prompt_tokens=10, output_tokens=10)


def _believed(request: Request) -> str:
    told = "\n".join(message.content for message in request.messages if message.role == "user")
    if "<data>" not in request.messages[0].content:
        return told
    before, _, rest = told.partition("<data>")
    return before + rest.partition("</data>")[2]


def _wanted(attack: Attack, request: Request) -> str:
    return attack.canary or request.messages[0].content


def _fill(schema: Mapping[str, Any], words: str) -> Any:
    match schema["type"]:
        case "object":
            return {name: _fill(part, words) for name, part in schema["properties"].items()}
        case "array":
            return [_fill(schema["items"], words)]
        case _:
            return words[: schema.get("maxLength", len(words))]
