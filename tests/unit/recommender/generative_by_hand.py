"""The generative form's equations, slowly: one line at a time, no padding, dense float64 graphs."""

import numpy as np
import torch
from isrf_by_hand import groups_by_hand, individual_by_hand

from recommender.data import TrainingData
from recommender.generative.network import GenerativeNetwork
from recommender.generative.tokens import PAD, TASKS, Task


def words_by_hand(
    network: GenerativeNetwork, data: TrainingData, neighbors: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Eq. 3, 4 and 7: E of users and items, H of users, e_0."""
    words, config = network.words, network.config
    zero = words.layer_zero().detach().double()  # eq. 2 is tested in test_interest_layer.py
    final = individual_by_hand(zero, data, config.num_layers).numpy()
    found = {
        "users": final[: data.num_users],
        "items": final[data.num_users :],
        "outside": words.outside.double().numpy(),
    }
    if neighbors is not None:
        own = words.groups.own.detach().double()
        found["groups"] = groups_by_hand(own, neighbors, config.group_layers).numpy()
    return found


def input_by_hand(
    network: GenerativeNetwork, task: Task, user: int, items: list[int], words: dict[str, np.ndarray] | None
) -> np.ndarray:
    """Eq. 1 and 5: (P + T, d) X̂ of one line; ``words`` is None for positional ones."""
    vocabulary, writer, config = network.vocabulary, network.writer, network.config
    embeddings = writer.t5.shared.weight.detach().double().numpy()
    before, between = vocabulary.words.templates[task]
    rows = [*writer.prompts[TASKS.index(task)].detach().double().numpy()]

    def add(tokens, word):
        rows.extend(embeddings[token] + config.word_scale * word for token in tokens)

    if words is None:
        table = network.words.vectors.detach().double().numpy()
        nothing, own, of_items = table[0], table[1], [table[2 + place] for place in range(len(items))]
    else:
        nothing, own = words["outside"], words["users"][user]
        if "groups" in words:
            own = own + config.group_weight * words["groups"][user]
        of_items = [words["items"][item] for item in items]
    add(before, nothing)
    add(vocabulary.user_tokens[user], own)
    add(between, nothing)
    for item, word in zip(items, of_items, strict=True):
        add(vocabulary.item_tokens[item], word)
    return np.array(rows)


@torch.no_grad()
def chance_by_hand(network: GenerativeNetwork, line: np.ndarray, item: int) -> float:
    """log p(Y | X̂) of one item: the factors of eq. 11, each from its own pass through T5."""
    tokens, total = network.vocabulary.item_tokens[item].tolist(), 0.0
    embedded = torch.from_numpy(line).float().unsqueeze(0)
    for place, token in enumerate(tokens):
        begun = torch.tensor([[PAD, *tokens[:place]]])
        logits = (
            network.writer.t5(inputs_embeds=embedded, decoder_input_ids=begun).logits[0, -1].double().numpy()
        )
        powers = np.exp(logits - logits.max())
        total += float(np.log(powers[token] / powers.sum()))
    return total
