"""A stage that leaves its work to another job: what is busy tonight does not end the refresh."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from featurestore.errors import LockHeldError
from featurestore.refresh.pipeline import Stage, StageOutcome


@dataclass(frozen=True, slots=True)
class YieldingStage:
    """A stage whose work is left to the job that holds its lock. It is tried again the next night.

    Attributes:
        stage: What is to be done.
        behind: Why it is not even tried, in words: what it reads is busy already. None if it is tried.
    """

    stage: Stage
    behind: str | None = None

    @property
    def name(self) -> str:
        """The stage's."""
        return self.stage.name

    def reads(self) -> Mapping[str, Any]:
        """What the stage reads."""
        return self.stage.reads()

    def writes(self) -> Mapping[str, Any]:
        """What the stage leaves."""
        return self.stage.writes()

    def run(self) -> StageOutcome:
        """Run the stage, or say who does its work."""
        if self.behind is not None:
            return StageOutcome(left=self.behind)
        try:
            return self.stage.run()
        except LockHeldError as error:
            return StageOutcome(left=error.message)
