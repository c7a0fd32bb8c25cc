"""What a trained model of histories knows, as vectors: its items, and the state of any history.

Scores of a `SequenceModel` are <h, e_i>. LLMGR (arXiv 2402.16539) reads e_i of GC-SAN as the node of an item,
and h as its session's graph.
"""

from functools import partial

import numpy as np
import torch

from recommender.data import FloatArray, Histories
from recommender.model_arrays import load_parameters
from recommender.registry import find_model
from recommender.sequence.model import Encoder, SequenceModel, history_states
from recommender.sequence.sequences import saved_histories


def sequence_vectors(model: SequenceModel) -> tuple[FloatArray, FloatArray]:
    """(n, d) states of the histories that the model answers for, zero where one is empty, and (I, d) items.

    Raises:
        StoreError: If the model was neither fitted nor loaded.
    """
    groups = model.arrays()
    return states_of(model, saved_histories(groups["histories"])), groups["weights"]["item_vectors"]


def states_of(model: SequenceModel, histories: Histories) -> FloatArray:
    """(n, d) float32 states of n histories after their newest events, zero where one is empty.

    Raises:
        StoreError: If the model was neither fitted nor loaded.
    """
    weights = model.arrays()["weights"]
    encoder = _new_encoder(model)
    load_parameters(encoder, weights, part="encoder.")
    items = torch.from_numpy(weights["item_vectors"])
    return history_states(encoder, items, histories, np.arange(len(histories))).numpy()


def _new_encoder(model: SequenceModel) -> Encoder:
    """What the model's file hands to `SequenceModel` last makes encoders."""
    made_by = find_model(model.name).model_type
    assert isinstance(made_by, partial), f"recommender/models/{model.name}.py makes no SequenceModel"
    encoder: Encoder = made_by.args[-1](model.config)
    return encoder
