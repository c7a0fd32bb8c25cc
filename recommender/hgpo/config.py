"""Settings of HGPO and of what it is measured against; constants are those of LGHRec's released code.

Ours are the bounds of τ, 0.05 and 1 (released: 0.01 and 2), and forms that `advantage`, `groups`, `pools` and
`num_samples` name besides the released ones. Other released forms: `recommender.hgpo.released_forms`.

Where a setting's meaning needs formulas, they stand in `recommender.hgpo.rewards` (w1 to w5, the thresholds,
groups), `recommender.hgpo.objective` (ε, c1, λ, β) and `recommender.hgpo.contrast_side` (τ, negatives).
"""

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from pydantic import Field, model_validator

from recommender.hgpo.released_forms import ReleasedForms
from recommender.training.embedding_config import EmbeddingConfig

TemperatureBy: TypeAlias = Literal["hgpo", "fixed", "ideal", "learned"]
NegativesBy: TypeAlias = Literal["hgpo", "uniform", "hard", "in_batch"]


class HgpoConfig(ReleasedForms):
    """Settings of the contrast and of the policy that steers it."""

    contrast_weight: float = Field(
        default=0.1, ge=0, description="Weight λ_cl of the contrast; 0 leaves the backbone as it is."
    )
    temperature_by: TemperatureBy = Field(
        default="hgpo",
        description="Who sets a node's τ: hgpo, fixed, ideal (a function of degree), or learned by gradient.",
    )
    negatives_by: NegativesBy = Field(
        default="hgpo",
        description="Who chooses negatives: hgpo, uniform, hard (nearest of the pool), or in_batch.",
    )
    temperature: float = Field(default=0.2, gt=0, description="Fixed τ, and where hgpo and learned begin.")
    temperature_min: float = Field(default=0.05, gt=0, description="No τ of hgpo or learned is below (ours).")
    temperature_max: float = Field(default=1.0, gt=0, description="No τ of hgpo or learned is above (ours).")
    pools: Literal["same_side", "items"] = Field(
        default="same_side", description="Negatives are of a node's kind, or items for users (the released)."
    )
    pool_size: int = Field(default=100, ge=2, description="Candidates P drawn for every step.")
    num_chosen: int = Field(
        default=64,
        ge=1,
        description="Negatives M of each node out of the pool; fewer where a side has not so many nodes.",
    )
    groups: Literal["degree", "quantile", "none"] = Field(
        default="degree",
        description="Nodes judged together: degrees to 10, 30, 70, 100 and above, equal shares, or all (then "
        "nothing is harmonised).",
    )
    num_groups: int = Field(default=5, ge=1, description="Groups K; other than 5 with quantile only.")
    advantage: Literal["group", "whitened", "anchor"] = Field(
        default="group",
        description="A reward beside its group's, the released form of it, or beside the node's own (GRPO).",
    )
    num_samples: int = Field(default=1, ge=1, description="Actions G drawn per node; the first one acts.")
    buffer_size: int = Field(default=4096, ge=1, description="Actions per side between two policy updates.")
    update_epochs: int = Field(
        default=1, ge=1, description="Steps E per update; clipping acts from the second on."
    )
    clip_range: float = Field(default=0.2, gt=0, lt=1, description="Clipping range ε of ratios.")
    entropy_weight: float = Field(default=0.6, ge=0, description="Weight c1 of the policy's entropy.")
    harmony_weight: float = Field(default=0.5, ge=0, description="Weight λ_harm of harmonisation.")
    kl_weight: float = Field(default=0.0, ge=0, description="Weight β of the distance from the first policy.")
    policy_learning_rate: float = Field(default=1e-4, gt=0, description="Step size of the policy's Adam.")
    hard_reward: float = Field(default=1.0, ge=0, description="w1, for a hard negative.")
    false_negative_penalty: float = Field(default=1.0, ge=0, description="w2, for one too near the node.")
    false_positive_penalty: float = Field(default=1.0, ge=0, description="w3, for one near its positive.")
    easy_penalty: float = Field(default=0.5, ge=0, description="w4, for an easy negative.")
    temperature_penalty: float = Field(default=1.2, ge=0, description="w5, per distance from the ideal τ.")
    false_negative_above: float = Field(default=0.8, description="θ_FN, a cosine with the node.")
    hard_above: float = Field(default=0.5, description="θ_easy, a cosine with the node.")
    false_positive_above: float = Field(default=0.8, description="θ_FP, a cosine with its positive.")
    easy_below: float = Field(default=0.2, description="θ_easy_low, a cosine with the node.")

    @property
    def has_policy(self) -> bool:
        """Whether anything is the policy's to choose."""
        return "hgpo" in {self.temperature_by, self.negatives_by}

    @model_validator(mode="after")
    def _sizes_fit(self) -> "HgpoConfig":
        if self.negatives_by != "in_batch" and self.num_chosen >= self.pool_size:
            raise ValueError(
                f"num_chosen={self.num_chosen} leaves nothing to choose of pool_size={self.pool_size}; "
                "lower the one or raise the other"
            )
        if self.groups == "degree" and self.num_groups != 5:
            raise ValueError(f"num_groups={self.num_groups} needs groups=quantile; groups=degree makes 5")
        if self.groups == "none" and self.num_groups not in {1, 5}:
            raise ValueError(f"num_groups={self.num_groups} needs groups=quantile; groups=none makes one")
        if self.groups == "none" and self.harmony_weight not in {0, 0.5}:
            raise ValueError(
                f"harmony_weight={self.harmony_weight} has no effect with groups=none; leave it out"
            )
        if self.advantage == "anchor" and self.num_samples < 2:
            raise ValueError("advantage=anchor compares actions of a node; raise num_samples to 2 or more")
        return self

    @model_validator(mode="after")
    def _thresholds_are_in_order(self) -> "HgpoConfig":
        if not self.easy_below <= self.hard_above < self.false_negative_above:
            raise ValueError(
                f"easy_below={self.easy_below} <= hard_above={self.hard_above} < false_negative_above="
                f"{self.false_negative_above} does not hold: one could be easy and hard, or none be hard"
            )
        return self

    @model_validator(mode="after")
    def _everything_has_an_effect(self) -> "HgpoConfig":
        """Only values that differ from defaults are looked at: a saved model's settings name all."""
        causes = _without_effect(self)
        unread = [
            f"{name}={getattr(self, name)} has no effect with {cause}; leave it out"
            for name, cause in causes.items()
            if getattr(self, name) != type(self).model_fields[name].default
        ]
        if unread:
            raise ValueError("; ".join(unread))
        return self

    @model_validator(mode="after")
    def _temperatures_fit(self) -> "HgpoConfig":
        is_bounded = self.temperature_by in {"hgpo", "learned"}
        if is_bounded and not self.temperature_min < self.temperature < self.temperature_max:
            raise ValueError(
                f"temperature={self.temperature} is not between temperature_min={self.temperature_min} and "
                f"temperature_max={self.temperature_max}; move one of them"
            )
        return self


_CHOICE: Final = (
    "choice_head",
    "choice_chance",
    "loss_negatives",
    "hard_reward",
    "false_negative_penalty",
    "false_positive_penalty",
    "easy_penalty",
    "false_negative_above",
    "hard_above",
    "false_positive_above",
    "easy_below",
)
_POLICY: Final = (
    "advantage",
    "num_samples",
    "buffer_size",
    "update_epochs",
    "clip_range",
    "entropy_weight",
    "harmony_weight",
    "kl_weight",
    "policy_learning_rate",
)


def _without_effect(config: HgpoConfig) -> dict[str, str]:
    """Setting that nothing reads → the setting that keeps it from being read."""
    chosen, set_by = f"negatives_by={config.negatives_by}", f"temperature_by={config.temperature_by}"
    is_bounded = config.temperature_by in {"hgpo", "learned"}
    in_batch, by_hand = config.negatives_by == "in_batch", not config.has_policy
    both = f"{chosen} and {set_by}"
    everything = HgpoConfig.model_fields.keys() - EmbeddingConfig.model_fields.keys() - {"contrast_weight"}
    rules: tuple[tuple[bool, str, Iterable[str]], ...] = (
        (config.positive == "layer", "positive=layer", ("view_layers", "augmentation", "drop_rate")),
        (config.positive == "second_view", "positive=second_view", ("positive_layer",)),
        (config.update_epochs == 1, "update_epochs=1", ("clip_range",)),
        (in_batch, chosen, ("num_chosen",)),
        (config.negatives_by != "hgpo", chosen, _CHOICE),
        (config.temperature_by != "hgpo", set_by, ("temperature_penalty",)),
        (not is_bounded, set_by, ("temperature_min", "temperature_max", "temperature_form")),
        (config.temperature_by == "ideal" and config.pools == "same_side", set_by, ("temperature",)),
        (by_hand, both, _POLICY),
        (by_hand and config.negatives_by != "hard", both, ("state_of",)),
        (by_hand and in_batch, both, ("pool_size",)),
        (by_hand and in_batch and config.temperature_by == "fixed", both, ("pools",)),
        (by_hand and not is_bounded, both, ("groups", "num_groups")),
        (config.contrast_weight == 0, "contrast_weight=0", everything),
    )
    return {name: cause for applies, cause, names in rules if applies for name in sorted(names)}
