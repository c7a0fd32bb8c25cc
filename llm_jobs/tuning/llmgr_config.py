"""Settings of LLMGR's stages (arXiv 2402.16539), beside those of the loop.

The paper tunes stage 1 for one epoch and stage 2 for three, in batches of 16, with AdamW, a cosine schedule
and weight decay 1e-2. It does not say whether by LoRA: rank 16 on the attention's maps is our reconstruction,
``weights=full`` the other reading.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from pydantic import Field, model_validator

from featurestore.errors import UnknownNameError, UsageError
from llm_jobs.tuning.config import TuningConfig

Stage: TypeAlias = Literal["alignment", "behaviour", "joint"]
"""``alignment``: which node is a title of (stage 1). ``behaviour``: what comes next in a session (stage 2).
``joint``: both at once, the control of having two."""


class LlmgrConfig(TuningConfig):
    """Settings of stage 1, and what the others share with it."""

    target_modules: str = Field(
        default="q_proj,k_proj,v_proj,o_proj",
        min_length=1,
        description="Linear maps of every block that are adapted, or all-linear.",
    )
    warmup_steps: int = Field(default=20, ge=0, description="Steps over which the step size rises from zero.")
    epochs: int = Field(default=1, ge=1, description="Passes over the examples.")
    weights: Literal["lora", "full"] = Field(
        default="lora", description="What of the decoder learns: a LoRA adapter, or all of its weights."
    )
    num_candidates: int = Field(
        default=10, ge=2, description="Nodes that a title is one of, in the alignment's prompts."
    )
    texts: Literal["own", "shuffled"] = Field(
        default="own", description="Titles are their items' own, or, as a control, those of other items."
    )
    sessions: Literal["nodes", "titles"] = Field(
        default="nodes",
        description="What stands for a click in a session's prompt: its node, or, as in RSL, its title "
        "alone; then there is no graph either.",
    )
    max_nodes: int = Field(default=50, ge=1, description="Newest clicks of a session that are read.")
    graph_token: Literal["readout", "mean", "none"] = Field(
        default="readout",
        description="A session's graph is what the base model reads out of it (its folder must be named), "
        "the mean of its nodes, or left out.",
    )
    first_output: Literal["random", "probe"] = Field(
        default="random",
        description="W_o begins as a random map of nodes, or as the one that fits the states of "
        "num_measured prompts before anything is tuned: where rows answer few prompts, or none. With "
        "sessions=titles it begins as noise.",
    )
    num_measured: int = Field(
        default=256, ge=2, description="Prompts whose states are looked at before anything is tuned."
    )
    max_examples: int | None = Field(
        default=None, ge=1, description="Titles, and sessions, learned from at most; the seed draws them."
    )

    @model_validator(mode="before")
    @classmethod
    def _words_have_no_graph(cls, values: Any) -> Any:  # noqa: ANN401 - what a validator before types is given
        if not isinstance(values, dict) or values.get("sessions") != "titles":
            return values
        graph = values.get("graph_token", "none")
        if graph != "none":
            raise ValueError(f"sessions=titles reads no graphs: graph_token={graph} would have no effect")
        return values | {"graph_token": "none"}

    @model_validator(mode="after")
    def _words_begin_without_nodes(self) -> "LlmgrConfig":
        if self.sessions == "titles" and self.first_output == "probe":
            raise ValueError(
                "sessions=titles needs first_output=random: a probe fits W_o to the vectors of items"
            )
        return self

    @model_validator(mode="after")
    def _what_learns_is_float32(self) -> "LlmgrConfig":
        if self.weights == "full" and self.precision != "float32":
            raise ValueError("weights=full needs precision=float32: what learns stays float32")
        return self


class BehaviourConfig(LlmgrConfig):
    """The same with the epochs of stage 2."""

    epochs: int = Field(default=3, ge=1, description="Passes over the examples.")


CONFIGS: Final[Mapping[Stage, type[LlmgrConfig]]] = {
    "alignment": LlmgrConfig,
    "behaviour": BehaviourConfig,
    "joint": BehaviourConfig,
}
"""Stage → its settings."""


def find_stage(name: str) -> Stage:
    """A stage by name.

    Raises:
        UnknownNameError: Listing those there are.
    """
    for stage in CONFIGS:
        if stage == name:
            return stage
    raise UnknownNameError("stage", name, CONFIGS)


def check_stage(stage: Stage, config: LlmgrConfig, *, is_begun: bool = False) -> None:
    """Refuse settings of what a stage does not read.

    Args:
        stage: Which.
        config: Its settings.
        is_begun: Whether it begins at an adapter, whose W_o is gone on with.

    Raises:
        UsageError: If it reads no sessions, or no titles, that are said to be other than usual; or if W_o
            would be fitted anew.
    """
    if is_begun and config.first_output == "probe":
        raise UsageError(
            "first_output=probe would throw away the W_o that --start's adapter has learned.",
            hint="Leave it out: a stage that begins at an adapter goes on with its W_o.",
        )
    if stage == "alignment" and config.sessions == "titles":
        raise UsageError(
            "sessions=titles would have no effect: the stage alignment reads no sessions.",
            hint="Take --stage behaviour, or leave the setting out.",
        )
    if stage == "behaviour" and config.sessions == "nodes" and config.texts == "shuffled":
        raise UsageError(
            "texts=shuffled would have no effect: the stage behaviour reads no titles, but with "
            "sessions=titles.",
            hint="Give it to the stage alignment, whose adapter --start names, or set sessions=titles.",
        )
