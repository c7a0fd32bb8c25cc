"""What a run may cost: a price, and ceilings above which a plan is refused."""

from dataclasses import dataclass, replace
from math import isfinite

from featurestore.errors import PlanTooExpensiveError, UsageError


@dataclass(frozen=True, slots=True)
class Spending:
    """A price and two ceilings.

    Attributes:
        price_per_gpu_hour: Price of one GPU, or of a machine without one, for an hour, in any currency.
        num_gpus: GPUs that the engine takes; 1 on a machine without.
        max_cost: Cost at most, in the same currency.
        max_tokens: Prompt and output tokens at most, together.
        tokens_before: What other plans foresee that the same ceiling is for.
        cost_before: The same of the cost.

    Raises:
        UsageError: If there is a ceiling on the cost and no price, or the price is infinite.
    """

    price_per_gpu_hour: float | None = None
    num_gpus: int = 1
    max_cost: float | None = None
    max_tokens: int | None = None
    tokens_before: int = 0
    cost_before: float = 0.0

    def __post_init__(self) -> None:
        if self.price_per_gpu_hour is not None and not isfinite(self.price_per_gpu_hour):
            raise UsageError("the price of a GPU hour must be finite.", hint="Correct --price-per-gpu-hour.")
        if self.max_cost is not None and self.price_per_gpu_hour is None:
            raise UsageError(
                "a ceiling on the cost needs a price.",
                hint="Give --price-per-gpu-hour, or set price_per_gpu_hour under [generate].",
            )

    @property
    def has_ceiling(self) -> bool:
        """Whether anything is bounded."""
        return self.max_cost is not None or self.max_tokens is not None

    def after(self, *, tokens: int, cost: float | None) -> "Spending":
        """The same ceilings for plans that come after one of so many tokens and such a cost."""
        return replace(
            self,
            tokens_before=self.tokens_before + tokens,
            cost_before=self.cost_before + (cost or 0.0),
        )

    def cost(self, seconds: float | None) -> float | None:
        """What some seconds cost; None if the price or the time is unknown."""
        if self.price_per_gpu_hour is None or seconds is None:
            return None
        return seconds / 3600.0 * self.num_gpus * self.price_per_gpu_hour

    def check(self, *, tokens: int, cost: float | None, what: str = "the plan") -> None:
        """Refuse a plan above a ceiling. A plan without tokens passes.

        Args:
            tokens: Prompt and output tokens the plan foresees.
            cost: What it foresees to cost; None if it cannot say.
            what: What messages call the plan.

        Raises:
            PlanTooExpensiveError: If a ceiling is exceeded, or the cost is bounded and unknown.
        """
        if not tokens:
            return
        if self.max_tokens is not None and self.tokens_before + tokens > self.max_tokens:
            before = f" after {self.tokens_before:,} of the plans before" if self.tokens_before else ""
            raise PlanTooExpensiveError(
                f"{what} takes about {tokens:,} tokens{before}, more than the {self.max_tokens:,} allowed.",
                hint="Take fewer entities with --limit or --where, or allow more with --max-tokens.",
            )
        if self.max_cost is None:
            return
        if cost is None:
            raise PlanTooExpensiveError(
                "the cost is bounded but not known: this model never ran on such a machine.",
                hint="Generate a few entities with --limit and without --max-cost: that tells the speed.",
            )
        if self.cost_before + cost > self.max_cost:
            before = f" after {self.cost_before:,.2f} of the plans before" if self.cost_before else ""
            raise PlanTooExpensiveError(
                f"{what} costs about {cost:,.2f}{before}, more than the {self.max_cost:,.2f} allowed.",
                hint="Take fewer entities with --limit or --where, or allow more with --max-cost.",
            )
