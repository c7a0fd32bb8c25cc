"""ISRF as a graph ranker: individual interests from items' texts, group interests from similar users.

ISRF (arXiv 2603.13934, WWW 2026) writes both into the word embeddings of a language model. This is the form
without one: chains of thought are read as stored vectors, and scores are inner products.

    E = LightGCN([E_U ; E_V]),  E_V = adapter(PCA(item texts))      eq. 2-4, `interests.first_layer`
    H = LightGCN over the K most similar users                      eq. 6-7, `interests.groups`
    score(u, i) = <e_u + w h_u, e_i>                                task=direct, `interests.direct`
    score(u, i) = <query + w h_u, e_i / ‖e_i‖>                      task=sequential, `interests.sequential`
    loss = ranking loss + reg · L2 + λ_DS L_DS or λ_SA L_SA         eq. 8-10, turns: `interests.refinement`

Ours: the two rankers, which stand for eq. 1, 5 and 11; H in the scores, w times, for in the paper's equations
it enters no prediction (``group_weight=0``); IDs of items beside their texts (the paper: ``fusion=replace``).
Defaults of w, λ and the fusion are what the validation part of colakg-lastfm preferred, with one seed each:
NDCG@20 .2128, against .1890 at w = 1 and λ = .1, and .1734 of texts alone (before texts were learned as
slowly as they are now). The sequential task was tried on Beauty's validation part, with learning_rate=0.003,
init_std=0.02 and num_layers=2: NDCG@10 after 10 epochs .0709 at text_pace=1, .0731 at text_pace=16.

Ablations are settings: distillation_weight=0, sequence_weight=0, fusion=none (without E_V), adapter=none;
whether it is the group that helps, user_graph=interactions, random and none say.
"""

from typing import Final, Literal

from pydantic import Field, field_validator

from recommender.interests.direct import DirectNetwork
from recommender.interests.model import GroupModel
from recommender.interests.sequence_model import GroupSequenceModel
from recommender.interests.sequential import SequentialConfig, SequentialNetwork, new_encoder
from recommender.search_space import RANKING_SPACE, Choice, LogUniform, SearchSpace
from recommender.training.embedding_config import Fusion


class Config(SequentialConfig):
    """Settings of ISRF."""

    fusion: Fusion = Field(
        default="add",
        description="Items are IDs and texts (add), their texts (replace, the paper), or IDs (none).",
    )
    task: Literal["direct", "sequential"] = Field(
        default="direct", description="Rank for a user, or rank what comes next in a history."
    )

    @field_validator("fusion")
    @classmethod
    def _known(cls, fusion: Fusion) -> Fusion:
        if fusion not in {"replace", "add", "none"}:
            raise ValueError(f"isrf has no fusion {fusion!r}; take replace, add or none")
        return fusion


SPACE: Final[SearchSpace] = {
    **RANKING_SPACE,
    "num_layers": Choice((1, 2, 3, 4)),
    "num_neighbors": Choice((10, 50, 100, 200)),
    "group_weight": Choice((0.0, 0.2, 0.5, 1.0)),
    "distillation_weight": LogUniform(0.001, 0.1),
    "sequence_weight": LogUniform(0.001, 0.1),
}


def new_model(config: Config) -> GroupModel | GroupSequenceModel:
    """The form that the task asks for; only the sequential one reads histories."""
    if config.task == "direct":
        return GroupModel("isrf", DirectNetwork, config)
    return GroupSequenceModel("isrf", SequentialNetwork, new_encoder, config)


Model = new_model
