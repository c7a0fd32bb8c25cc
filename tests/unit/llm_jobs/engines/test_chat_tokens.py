"""Conversations as token ids: append-only chains continue, everything else is rendered anew."""

from pathlib import Path
from typing import Any

import pytest
from tiny_models import write_tiny_reasoner

from featurestore.errors import SetupError
from featurestore.spec import Sampling
from llm_jobs.engine import Completion, Message, Request
from llm_jobs.engines.chat_tokens import ChatTokens, load_chat_tokens

_END = 1_000_000


class _Letters:
    """One token per character, with a template like the common chat formats; ``|`` ends a turn."""

    def __init__(self, *, rewrites: bool = False) -> None:
        self._rewrites = rewrites

    def apply_chat_template(
        self,
        conversation: list[dict[str, str]],
        *,
        tokenize: bool,
        add_generation_prompt: bool,
        **kwargs: Any,
    ) -> str:
        head = f"<{len(conversation)}>" if self._rewrites else ""
        turns = "".join(f"{m['role'][0]}:{m['content']}|\n" for m in conversation)
        return head + turns + ("a:" if add_generation_prompt else "")

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [_END if letter == "|" else ord(letter) for letter in text]


_ASKED = (Message("system", "Be brief."), Message("user", "Who?"))
_ANSWER = '{"who": "all"}'


def _text(ids: list[int]) -> str:
    return "".join("|" if i == _END else chr(i) for i in ids)


def _first(chat: ChatTokens, text: str = _ANSWER, *, ended: bool = True) -> Completion:
    prompt = chat.prompt_ids(Request("1", _ASKED, Sampling()))
    output = [*map(ord, text), *([_END] if ended else [])]
    return Completion(key="1", text=text, finish_reason="stop", token_ids=(*prompt, *output))


def _second(first: Completion, told: str = _ANSWER) -> Request:
    messages = (*_ASKED, Message("assistant", told), Message("user", "Who not?"))
    return Request("2", messages, Sampling(), continues=first)


@pytest.mark.parametrize("ended", [True, False])
def test_a_chain_goes_on_from_its_own_ids(ended: bool) -> None:
    chat = ChatTokens(_Letters(), {}, reasoning=False)
    first = _first(chat, ended=ended)
    ids = chat.prompt_ids(_second(first))
    assert tuple(ids[: len(first.token_ids)]) == first.token_ids
    assert _text(ids) == 's:Be brief.|\nu:Who?|\na:{"who": "all"}|\nu:Who not?|\na:'


def test_generated_json_counts_as_the_canonical_one() -> None:
    chat = ChatTokens(_Letters(), {}, reasoning=False)
    first = _first(chat, '{"who":"all"}')
    assert (
        _text(chat.prompt_ids(_second(first))) == 's:Be brief.|\nu:Who?|\na:{"who":"all"}|\nu:Who not?|\na:'
    )


@pytest.mark.parametrize("told", ['{"who": "none"}', "all"])
def test_another_answer_than_the_generated_one_is_rendered(told: str) -> None:
    chat = ChatTokens(_Letters(), {}, reasoning=False)
    ids = chat.prompt_ids(_second(_first(chat), told))
    assert _text(ids) == f"s:Be brief.|\nu:Who?|\na:{told}|\nu:Who not?|\na:"


def test_a_template_that_rewrites_earlier_turns_is_rendered() -> None:
    chat = ChatTokens(_Letters(rewrites=True), {}, reasoning=False)
    assert _text(chat.prompt_ids(_second(_first(chat)))).startswith("<4>s:Be brief.")


def test_thoughts_do_not_stay_in_the_conversation(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    chat = load_chat_tokens(write_tiny_reasoner(tmp_path), {}, reasoning=True)
    prompt = chat.prompt_ids(Request("1", _ASKED, Sampling()))
    thought = Completion("1", f"hm</think>{_ANSWER}", "stop", token_ids=(*prompt, 1, 2, 3))
    continued = chat.prompt_ids(_second(thought))
    anew = chat.prompt_ids(Request("2", _second(thought).messages, Sampling()))
    assert continued == anew
    assert (
        continued[: len(prompt) - 2] == prompt[:-2]
    )  # but for the opened thoughts, the first turn is shared


def test_a_template_that_refuses_the_roles_says_so(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    folder = write_tiny_reasoner(tmp_path)
    (folder / "chat_template.jinja").write_text("{{ raise_exception('no system turn here') }}")
    chat = load_chat_tokens(folder, {}, reasoning=False)
    with pytest.raises(SetupError, match="refuses the conversation: no system turn here"):
        chat.prompt_ids(Request("1", _ASKED, Sampling()))


def test_a_broken_tokenizer_says_so(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    folder = write_tiny_reasoner(tmp_path)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(SetupError, match=r"the tokenizer in .* cannot be read"):
        load_chat_tokens(folder, {}, reasoning=False)


@pytest.mark.parametrize("written", ['{"who":"all "}', '{"who": [" all", {"b": 1.5}]}'])
def test_white_space_that_the_parser_strips_does_not_cost_the_cache(written: str) -> None:
    chat = ChatTokens(_Letters(), {}, reasoning=False)
    first = _first(chat, written)
    told = written.replace(" ", "")
    assert _text(chat.prompt_ids(_second(first, told))).startswith(_text(list(first.token_ids)))
