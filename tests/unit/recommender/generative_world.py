"""A tiny world for the generative form: items stand in a ring, and every user goes on to the next one."""

import numpy as np

from recommender.data import TrainingData, training_data
from recommender.features import EntityFeatures, NodeFeatures
from recommender.generative.config import SYSTEMS, GenerativeConfig
from recommender.generative.network import GenerativeNetwork
from recommender.generative.sources import Sources
from recommender.generative.tokens import digits_of, shuffled_numbers
from recommender.registry import parse_settings

NUM_USERS, NUM_ITEMS = 12, 23
TINY = {
    "dropout": "0",
    "batch_size": "5",
    "beam_size": "23",
    "warmup_steps": "0",
    "max_history": "3",
}
_SIZES = {"embedding_dim": "8", "hidden_dim": "16", "num_heads": "2", "num_blocks": "1"}


def tiny(system: str, **changed: object) -> dict[str, str]:
    """Settings of a tiny form of a system, as text: those that it reads."""
    given = {name: str(value) for name, value in changed.items()}
    asked = {**SYSTEMS.get(system, {}), **given}
    found = TINY if "weights" in asked else TINY | _SIZES
    if asked.get("direct_every", "0") != "0":
        found = found | {"candidates": "6"}
    if asked.get("word_embeddings", "graph") == "graph":
        has_texts, has_groups = asked.get("fusion") != "none", asked.get("group_weight") != "0"
        found = found | ({"pca_components": "4"} if has_texts else {})
        found = found | ({"num_neighbors": "3"} if has_groups and asked.get("user_graph") != "none" else {})
    return found | given


def settings(system: str = "isrf", **changed: object) -> GenerativeConfig:
    """A tiny form of a system."""
    return parse_settings(GenerativeConfig, SYSTEMS[system] | tiny(system, **changed))


def ring(num_users: int = NUM_USERS, num_items: int = NUM_ITEMS) -> TrainingData:
    """Users with 2 to 5 training events and one for validation, one item after the other."""
    draw = np.random.default_rng(3)
    starts, lengths = draw.integers(0, num_items, num_users), 2 + np.arange(num_users) % 4
    users = np.repeat(np.arange(num_users), lengths)
    ages = np.arange(len(users)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    valid = (np.arange(num_users), (starts + lengths) % num_items)
    train = (users, (starts[users] + ages) % num_items)
    return training_data(num_users=num_users, num_items=num_items, train=train, valid=valid)


def vectors(data: TrainingData) -> NodeFeatures:
    """Six numbers an item."""
    matrix = np.random.default_rng(4).normal(size=(data.num_items, 6)).astype(np.float32)
    return NodeFeatures(EntityFeatures(matrix, np.ones(data.num_items, np.bool_)))


def names(data: TrainingData, num_digits: int = 2) -> np.ndarray:
    """Shuffled numbers in digits."""
    return digits_of(shuffled_numbers(data.num_items, 0), num_digits)


def network_of(config: GenerativeConfig, data: TrainingData, seed: int = 1) -> GenerativeNetwork:
    """A network in evaluation mode, whose texts and neighbours are drawn."""
    draw = np.random.default_rng(5)
    texts = draw.normal(size=(data.num_items, 4)).astype(np.float32)
    friends = np.array(
        [draw.permutation(np.delete(np.arange(data.num_users), u))[:3] for u in range(data.num_users)]
    )
    has_texts = config.word_embeddings == "graph" and config.fusion != "none"
    sources = Sources(data, texts if has_texts else None, friends if config.has_groups else None)
    return GenerativeNetwork(config, sources, names(data, config.num_digits), seed).eval()
