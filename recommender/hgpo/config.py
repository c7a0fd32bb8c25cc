"""Settings of HGPO and of what it is measured against; constants are those of LGHRec's released code.

Ours are the bounds of τ, 0.05 and 1 (released: 0.01 and 2), and forms that `advantage`, `groups`, `pools` and
`num_samples` name besides the released ones. Other released forms: `recommender.hgpo.released_forms`.

Where a setting's meaning needs formulas, they stand in `recommender.hgpo.rewards` (w1 to w5, the thresholds,
groups), `recommender.hgpo.objective` (ε, c1, λ, β) and `recommender.hgpo.contrast_side` (τ, negatives).
"""

from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from recommender.hgpo.released_forms import ReleasedForms

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
    num_chosen: int = Field(default=64, ge=1, description="Negatives M of each node out of the pool.")
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
        if self.num_chosen >= self.pool_size:
            raise ValueError(
                f"num_chosen={self.num_chosen} leaves nothing to choose of pool_size={self.pool_size}; "
                "lower the one or raise the other"
            )
        if self.groups == "degree" and self.num_groups != 5:
            raise ValueError(f"num_groups={self.num_groups} needs groups=quantile; groups=degree makes 5")
        if self.advantage == "anchor" and self.num_samples < 2:
            raise ValueError("advantage=anchor compares actions of a node; raise num_samples to 2 or more")
        return self

    @model_validator(mode="after")
    def _forms_are_read(self) -> "HgpoConfig":
        self.check_effect(chooses=self.negatives_by == "hgpo", sets_temperature=self.temperature_by == "hgpo")
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
