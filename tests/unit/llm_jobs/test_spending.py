import pytest

from featurestore.errors import PlanTooExpensiveError, UsageError
from llm_jobs.spending import Spending


def test_money_is_hours_times_gpus_times_price() -> None:
    assert Spending(3.0, num_gpus=4).cost(1800.0) == pytest.approx(6.0)
    assert Spending(3.0).cost(None) is None
    assert Spending().cost(1800.0) is None


def test_a_plan_within_its_ceilings_passes() -> None:
    spending = Spending(1.0, max_cost=2.0, max_tokens=100)
    spending.check(tokens=100, cost=2.0)
    spending.check(tokens=0, cost=None)


def test_too_many_tokens_are_refused() -> None:
    with pytest.raises(
        PlanTooExpensiveError, match=r"about 1,001 tokens, more than the 1,000 allowed"
    ) as caught:
        Spending(max_tokens=1000).check(tokens=1001, cost=None)
    assert caught.value.exit_code == 11
    assert "--max-tokens" in caught.value.hint


def test_too_dear_a_plan_is_refused_and_so_is_one_of_unknown_cost() -> None:
    spending = Spending(1.0, max_cost=2.0)
    with pytest.raises(PlanTooExpensiveError, match=r"costs about 2\.50, more than the 2\.00 allowed"):
        spending.check(tokens=1, cost=2.5)
    with pytest.raises(PlanTooExpensiveError, match="bounded but not known"):
        spending.check(tokens=1, cost=None)


def test_plans_before_it_use_up_what_a_plan_may_take() -> None:
    spending = Spending(1.0, max_cost=2.0, max_tokens=100).after(tokens=30, cost=0.5)
    spending.check(tokens=70, cost=1.5)
    with pytest.raises(
        PlanTooExpensiveError,
        match="the plan takes about 71 tokens after 30 of the plans before, more than the 100 allowed",
    ):
        spending.check(tokens=71, cost=1.5)
    spending = spending.after(tokens=0, cost=None)
    with pytest.raises(
        PlanTooExpensiveError,
        match=r"the night costs about 1\.60 after 0\.50 of the plans before, more than the 2\.00 allowed",
    ):
        spending.check(tokens=70, cost=1.6, what="the night")
    assert spending.has_ceiling
    assert not Spending(1.0).has_ceiling


def test_a_ceiling_on_the_cost_needs_a_price() -> None:
    with pytest.raises(UsageError, match="a ceiling on the cost needs a price"):
        Spending(max_cost=1.0)


def test_an_infinite_price_is_refused() -> None:
    """It has no JSON, and a plan without work would cost not a number."""
    with pytest.raises(UsageError, match="must be finite"):
        Spending(float("inf"))
