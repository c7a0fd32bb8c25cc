"""What ``evaluate`` and ``leaderboard`` have in common."""

from typing import TYPE_CHECKING

from featurestore.errors import UnknownNameError

if TYPE_CHECKING:
    from recommender.evaluation.compare import ComparisonRequest


def read_request(
    *, release: str | None, task: str, num_negatives: int, baseline: str, metric: str
) -> "ComparisonRequest":
    """Options as a request.

    Raises:
        UnknownNameError: If the task is unknown: the known ones are named.
    """
    from recommender.evaluation.compare import ComparisonRequest
    from recommender.evaluation.tasks import TASKS

    for known in TASKS:
        if task == known:
            return ComparisonRequest(
                release=release, task=known, num_negatives=num_negatives, baseline=baseline, metric=metric
            )
    raise UnknownNameError("task", task, TASKS)
