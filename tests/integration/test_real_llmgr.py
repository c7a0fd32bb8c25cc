"""LLMGR's first stage on the real small decoder: places among its own tokens, and titles that find nodes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from llm_jobs.models import find_encoder
from llm_jobs.tuning.base_model import load_base
from llm_jobs.tuning.hybrid_input import Node, load_hybrid_tokens
from llm_jobs.tuning.hybrid_weights import begin
from llm_jobs.tuning.llmgr_config import LlmgrConfig
from llm_jobs.tuning.llmgr_examples import TitleExamples
from llm_jobs.tuning.llmgr_objective import Reading, TitleStage, measure_states
from llm_jobs.tuning.llmgr_prompts import alignment_prompt
from llm_jobs.tuning.loop import tune

pytestmark = [pytest.mark.slow]

_THINGS = ("night cream", "toy drum", "kettle", "desk lamp", "beard oil", "guitar strings", "leash", "shoes")
_MANNERS = ("gentle", "sturdy", "cheap", "small")
CONFIG = LlmgrConfig(
    lora_rank=8,
    learning_rate=1e-3,
    head_learning_rate=1e-3,
    warmup_steps=2,
    epochs=4,
    batch_size=8,
    num_candidates=4,
    max_tokens=128,
)
"""Sixteen steps over 32 titles."""


@pytest.mark.real_llm
def test_titles_find_their_nodes_on_smollm2() -> None:
    base = load_base(find_encoder("smollm2-hidden", {}), CONFIG)
    tokens = load_hybrid_tokens(Path(base.folder), base.spec)
    titles = tuple(f"{manner} {thing}" for thing in _THINGS for manner in _MANNERS)
    found = tokens.input(alignment_prompt([3, 0, 2], titles[0]))
    assert [what for _, what in found.places] == [Node(3), Node(0), Node(2)]

    rng = np.random.default_rng(3)
    kinds = np.repeat(rng.normal(size=(len(_THINGS), 16)), len(_MANNERS), axis=0)
    nodes = torch.from_numpy((kinds + 0.3 * rng.normal(size=kinds.shape)).astype(np.float32))
    start = begin(base, nodes, CONFIG, seed=1)
    rows = np.arange(len(titles))
    examples = TitleExamples(rows, titles, rows, CONFIG.num_candidates, seed=1)
    objective = TitleStage(examples, Reading(tokens, nodes, nodes[:0]), start.ends)
    measure_states(start.model, objective, CONFIG, nodes)
    report = tune(start.model, objective, CONFIG, seed=1)
    chance = np.log(CONFIG.num_candidates)
    assert np.mean(report.losses[-4:]) < 0.6 * chance
