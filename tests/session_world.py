"""A store with titles, sessions, and vectors of items as a model of sessions has them: for LLMGR's stages."""

import numpy as np
from aligned_world import ITEMS, add_graph_vectors, add_texts, graph_vectors, release
from gate_world import add_catalogue
from tuning_world import word_texts

from featurestore.reader import Release
from featurestore.store import Store
from llm_jobs.tuning.llmgr_config import BehaviourConfig, LlmgrConfig

QUICK = LlmgrConfig(
    lora_rank=4,
    learning_rate=5e-3,
    head_learning_rate=2e-2,
    warmup_steps=2,
    epochs=1,
    batch_size=12,
    num_candidates=4,
    max_nodes=3,
    graph_token="mean",
    checkpoint_steps=2,
    max_tokens=96,
)
"""Six steps over 72 titles."""
QUICK_BEHAVIOUR = BehaviourConfig(**QUICK.model_dump() | {"max_examples": 60})


def fill_sessions(store: Store) -> Release:
    """A catalogue with events, ``item_notes`` of 72 items, and ``lightgcn`` vectors of them, published."""
    add_catalogue(store)
    texts, labels = word_texts(len(ITEMS), seed=1)
    add_texts(store, "item", [text[:20] for text in texts])
    add_graph_vectors(store, "item", graph_vectors(labels, seed=1).astype(np.float32))
    return release(store)
