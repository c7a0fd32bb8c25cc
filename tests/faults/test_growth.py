"""Nightly runs do not fill the disk: see the growth bound in docs/exactly-once.md."""

from pathlib import Path

import pytest
from generation_world import PROMPTS
from nights import simulate_nights

from llm_jobs.prompt import Prompt, load_prompt
from llm_jobs.text_checks import Checks

pytestmark = pytest.mark.slow

_NIGHTS = 60
_ITEMS = 400


def _prompt() -> Prompt:
    """One stage; the fake's answers say the same few words again and again, which is no matter here."""
    prompt = load_prompt(PROMPTS / "item_semantic_id.toml")
    (stage,) = prompt.stages
    unchecked = stage.model_copy(update={"checks": Checks(skip=("repetition",))})
    return prompt.model_copy(update={"stages": (unchecked,)})


def test_sixty_nights_stay_under_the_bound(tmp_path: Path) -> None:
    nights = list(simulate_nights(tmp_path, _prompt(), num_items=_ITEMS, num_nights=_NIGHTS))
    assert len(nights) == _NIGHTS
    assert all(night.num_written > 0 for night in nights)
    over = [night for night in nights if night.num_bytes > night.most_bytes]
    assert not over
    assert not [night for night in nights if night.num_files > night.most_files]
    # The bound means something: what is stored is not far below it.
    assert nights[-1].num_bytes > nights[-1].most_bytes / 3
