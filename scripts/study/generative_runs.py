"""Runs of ISRF's generative form that are declared, and other settings of them."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, Literal, TypeAlias

from pydantic import Field

from featurestore.errors import UsageError
from featurestore.spec import Frozen

Profiles: TypeAlias = Literal["train", "whole"]
"""What a user's vector is the mean of: vectors of the items of training events, or of the whole history, as
the published profiles are of texts: held-out items included."""
BEAUTY: Final = "amazon14-beauty"


class GenerativeRun(Frozen):
    """One training.

    Attributes:
        dataset: One of `study.datasets`.
        name: Of the record; a word for what is special about it.
        system: One of `recommender.generative.config.SYSTEMS`.
        settings: Beside the system's, as text.
        profiles: What users' vectors read.
        why: What the run is there for, in words.
    """

    dataset: str
    name: str
    system: str
    settings: dict[str, str] = Field(default_factory=dict[str, str])
    profiles: Profiles = "train"
    why: str = ""

    @property
    def label(self) -> str:
        """What ``--only`` matches: ``amazon14-beauty/isrf``."""
        return f"{self.dataset}/{self.name}"

    @property
    def chooses(self) -> bool:
        """Whether it learns the direct task, too, and with it eq. 8."""
        return self.settings.get("direct_every", "0") != "0"


def _isrf(word: str, why: str, **settings: str) -> GenerativeRun:
    return GenerativeRun(dataset=BEAUTY, name=f"isrf-{word}", system="isrf", settings=settings, why=why)


def minimum() -> list[GenerativeRun]:
    """What the document stands on, the most informative runs first."""
    sequential, codes = {"tokens": "sequential"}, {"tokens": "codes"}
    return [
        GenerativeRun(dataset=BEAUTY, name="isrf", system="isrf", why="individual and group interests"),
        GenerativeRun(dataset=BEAUTY, name="p5", system="p5", why="no graph, no prompts"),
        GenerativeRun(dataset=BEAUTY, name="elmrec", system="elmrec", why="a graph of random vectors"),
        GenerativeRun(dataset=BEAUTY, name="pod", system="pod", why="P5 with prompt vectors"),
        GenerativeRun(
            dataset=BEAUTY, name="p5-sequential", system="p5", settings=sequential, why="ids that leak"
        ),
        _isrf("sequential", "ids that leak", **sequential),
        _isrf("direct", "both tasks, and eq. 8", direct_every="2"),
        _isrf("no-distillation", "both tasks, without eq. 8", direct_every="2", distillation_weight="0"),
        _isrf("codes", "semantic ids", **codes),
        GenerativeRun(dataset=BEAUTY, name="p5-codes", system="p5", settings=codes, why="semantic ids"),
        GenerativeRun(
            dataset=BEAUTY,
            name="isrf-whole-texts",
            system="isrf",
            profiles="whole",
            why="profiles of users that read held-out items",
        ),
        _isrf("soft-dot", "the alignment of the authors' code", align="soft_dot", temperature="1"),
        _isrf(
            "no-groups",
            "individual interests alone",
            group_weight="0",
            distillation_weight="0",
            sequence_weight="0",
        ),
    ]


def queue() -> list[GenerativeRun]:
    """Ablations that would tell more."""
    return [
        _isrf("no-sequence-alignment", "without eq. 9", sequence_weight="0"),
        _isrf("no-texts", "items by IDs; users still compared by texts of items", fusion="none"),
        _isrf("no-adapter", "texts as they are projected, without eq. 2", adapter="none"),
        _isrf("alpha-0.5", "half the weight of whole words", word_scale="0.5"),
        _isrf("alpha-3", "three times the weight of whole words", word_scale="3"),
    ]


def runs() -> list[GenerativeRun]:
    """All that are declared."""
    return [*minimum(), *queue()]


def chosen(globs: Sequence[str]) -> list[GenerativeRun]:
    """Runs whose label fits one of some patterns such as ``amazon14-beauty/*-codes``; all without any."""
    return [run for run in runs() if not globs or any(fnmatchcase(run.label, glob) for glob in globs)]


def changed(run: GenerativeRun, settings: Mapping[str, str], word: str | None) -> GenerativeRun:
    """A run with other settings, which is another run: its record lies beside that of the declared one.

    Args:
        run: A declared run.
        settings: In the place of its own; none leave it as it is.
        word: Joins its name.

    Raises:
        UsageError: If there are settings and no word.
    """
    if not settings:
        return run
    if not word:
        raise UsageError(
            f"with other settings {run.label} is another run, which needs a name.",
            hint="Give one with --name WORD: it joins the run's own.",
        )
    why = ", ".join(f"{key}={value}" for key, value in settings.items())
    values = {"name": f"{run.name}-{word}", "settings": run.settings | dict(settings), "why": why}
    return run.model_copy(update=values)
