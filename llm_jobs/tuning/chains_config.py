"""Settings of the tuning on chains of thought, beside those of the loop.

LGHRec (arXiv 2505.12396) mixes recommendation chains with general instructions and tells neither share, rank,
epochs nor step size: one to one by examples, LoRA of rank 16 (alpha 32) on all linear maps, 1e-4, two epochs
are our reconstruction.
"""

from pydantic import Field, field_validator

from llm_jobs.tuning.config import TuningConfig


class ChainsConfig(TuningConfig):
    """Settings of the mixed fine-tuning."""

    @field_validator("head_learning_rate")
    @classmethod
    def _no_head(cls, rate: float) -> float:
        if rate != TuningConfig.model_fields["head_learning_rate"].default:
            raise ValueError("it has no effect: nothing learns beside the adapter here; leave it out")
        return rate

    general_share: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="Share of general instructions among the examples; 0 learns from chains alone.",
    )
    held_out_share: float = Field(
        default=0.1, gt=0, lt=1, description="Share of entities, and of instructions, never learned from."
    )
    max_examples: int | None = Field(
        default=None, ge=2, description="Chains learned from at most; the seed draws their entities."
    )
    judged_answers: int = Field(
        default=32, ge=1, description="Held-out questions that the model answers before and after, at most."
    )
    judged_texts: int = Field(
        default=128, ge=1, description="Held-out answers of each kind whose loss is measured, at most."
    )
    batch_size: int = Field(default=4, ge=1, description="Examples that go through the model together.")
    accumulation: int = Field(default=4, ge=1, description="Batches whose gradients make one step.")
    max_tokens: int | None = Field(
        default=None,
        ge=8,
        description="Longest example, prompt and answer; longer ones are left out. None takes the model's "
        "context.",
    )
