from pathlib import Path

import pytest
from tiny_models import write_tiny_reasoner

from llm_jobs.engine import Message
from llm_jobs.models import find_model
from llm_jobs.token_count import CharacterCounter, TokenizerCounter, token_counter

_ASKED = (Message("system", "Be brief."), Message("user", "Who would like it?"))


def test_characters_are_counted_where_there_is_no_tokenizer() -> None:
    counter = CharacterCounter()
    assert counter.count(_ASKED) == 9 // 4 + 18 // 4 + 8
    assert counter.count_text("x" * 40) == 10
    assert counter.name == "4 characters a token"
    echo = token_counter(find_model("echo", {}))
    assert echo.count(_ASKED) == 9 // 4 + 18 // 4 + 2


def test_a_model_that_is_not_at_hand_is_counted_by_characters() -> None:
    entry = find_model("smollm2-135m", {"smollm2-135m": {"folder": "/does/not/exist"}})
    assert isinstance(token_counter(entry), CharacterCounter)


@pytest.mark.real_llm
def test_the_models_own_tokenizer_counts_its_template_and_drops_thoughts(tmp_path: Path) -> None:
    folder = write_tiny_reasoner(tmp_path / "model")
    tags = {"open": "<think>", "close": "</think>"}
    own = {"tiny": {"repo": "tiny", "folder": str(folder), "context": 512, "memory_gib": 0, "disk_gib": 0}}
    counter = token_counter(find_model("tiny", {"tiny": {**own["tiny"], "reasoning": tags}}))
    assert isinstance(counter, TokenizerCounter)
    # <|begin|>, nine letters, <|User|>, 18 letters, <|Assistant|>, <think>, line feed
    assert counter.count(_ASKED) == 1 + 9 + 1 + 18 + 3
    assert counter.count_text("nine more") == 9
    thoughts = (*_ASKED, Message("assistant", "<think>hm</think>All"), Message("user", "Who not?"))
    assert counter.count(thoughts) == counter.count((*thoughts[:2], Message("assistant", "All"), thoughts[3]))
