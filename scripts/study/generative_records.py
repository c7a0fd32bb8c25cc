"""Runs of ISRF's generative form, and records: ``docs/results/generative/<data set>/<name>.<seed>.json``.

A run trains one of the systems of `recommender.generative.config` on all users of a data set and decodes all
test users. What a document may say is in the record; `read` gives all of them. They stand apart from
`study.records`: a run of these has lists instead of ranks of all items. A record is current while the code
that the run reaches, its settings and its data are as they were.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pydantic import Field

from featurestore.errors import UsageError
from featurestore.spec import Frozen
from recommender.base import FitReport
from scripts.study.code_version import FUSIONS, code_version
from scripts.study.definitions import Place
from scripts.study.runs import as_lines

RESULTS: Final = Path(__file__).resolve().parents[2] / "docs" / "results" / "generative"

Profiles: TypeAlias = Literal["train", "whole"]
"""What a user's vector is the mean of: texts of the items of training events, or of the whole history, as the
published profiles are: held-out items included."""
State: TypeAlias = Literal["current", "earlier", "due"]
"""``current``: a record of this code, run and data. ``earlier``: a record of others. ``due``: no record."""
_PATH: Final[tuple[Place, ...]] = (
    ("recommender.generative.model", "GenerativeModel"),
    ("recommender.generative.ranks", "list_ranks"),
    ("recommender.generative.tokens", "digits_of"),
    ("recommender.generative.tokens", "sequential_numbers"),
    ("recommender.generative.tokens", "shuffled_numbers"),
    ("recommender.data", "load_training_data"),
    ("recommender.data", "load_histories"),
    ("recommender.evaluation.tasks", "load_test_data"),
    ("recommender.features", "entity_features"),
    ("recommender.interests.user_graph", "user_vectors"),
)
"""What every run goes through."""


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


class GenerativeRecord(Frozen):
    """What a run gave.

    Attributes:
        run: The run.
        seed: Of everything random.
        code: See `generative_version`.
        data: Digest of the data set, see `study.datasets`.
        config: All settings, defaults filled in.
        num_parameters: Numbers that learn.
        num_train_users: Users with two training events.
        num_test_users: Users whose lists are measured.
        threads: Of torch.
        fit: How training went.
        stopped_minutes: Minutes after which ``--minutes`` ended training; None if it ended by itself.
        validation: Metric → mean over all validation users, at 5 and 10, histories dropped.
        test: Metric → mean over all test users, at 5 and 10, histories dropped.
        test_kept: The same with items of the history left in the lists, as P5 and POD are published.
        users_per_second: Users that are decoded in a second of processor time.
        cpu_seconds_per_epoch: Processor time of an epoch, validations included: the median of those of the
            process that ended the training; None if the model was loaded.
    """

    run: GenerativeRun
    seed: int
    code: str
    data: str
    config: dict[str, Any]
    num_parameters: int
    num_train_users: int
    num_test_users: int
    threads: int
    fit: FitReport
    stopped_minutes: float | None
    validation: dict[str, float]
    test: dict[str, float]
    test_kept: dict[str, float]
    users_per_second: float
    cpu_seconds_per_epoch: float | None = None

    @property
    def seconds_per_epoch(self) -> float:
        """Processor time of an epoch; wall-clock time where that was not taken."""
        return self.cpu_seconds_per_epoch or self.fit.seconds / max(self.fit.epochs, 1)


def runs() -> list[GenerativeRun]:
    """All runs, the most informative first."""
    beauty = "amazon14-beauty"
    sequential, codes = {"tokens": "sequential"}, {"tokens": "codes"}
    return [
        GenerativeRun(dataset=beauty, name="isrf", system="isrf", why="individual and group interests"),
        GenerativeRun(dataset=beauty, name="p5", system="p5", why="no graph, no prompts"),
        GenerativeRun(dataset=beauty, name="elmrec", system="elmrec", why="a graph of random vectors"),
        GenerativeRun(dataset=beauty, name="pod", system="pod", why="P5 with prompt vectors"),
        GenerativeRun(
            dataset=beauty, name="p5-sequential", system="p5", settings=sequential, why="ids that leak"
        ),
        GenerativeRun(
            dataset=beauty, name="isrf-sequential", system="isrf", settings=sequential, why="ids that leak"
        ),
        GenerativeRun(dataset=beauty, name="isrf-codes", system="isrf", settings=codes, why="semantic ids"),
        GenerativeRun(dataset=beauty, name="p5-codes", system="p5", settings=codes, why="semantic ids"),
        GenerativeRun(
            dataset=beauty,
            name="isrf-whole-texts",
            system="isrf",
            profiles="whole",
            why="profiles of users that read held-out items",
        ),
        GenerativeRun(
            dataset=beauty,
            name="isrf-soft-dot",
            system="isrf",
            settings={"align": "soft_dot", "temperature": "1"},
            why="the alignment of the authors' code",
        ),
        GenerativeRun(
            dataset=beauty,
            name="isrf-no-groups",
            system="isrf",
            settings={"group_weight": "0", "distillation_weight": "0", "sequence_weight": "0"},
            why="individual interests alone",
        ),
    ]


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


def generative_version() -> str:
    """The version of the code that every run computes with, see `study.code_version`.

    ISRF's graph form is in it, whose layers the generative one shares, but for fusions that it never has.
    """
    return code_version("isrf", path=_PATH, unread=frozenset(FUSIONS.values()))


def is_current(record: GenerativeRecord, run: GenerativeRun, data: str | None) -> bool:
    """Whether a record is of this code, run and data; None: of whatever data."""
    said = {"why"}
    same = record.run.model_dump(exclude=said) == run.model_dump(exclude=said)
    return same and record.code == generative_version() and data in {None, record.data}


def state_of(run: GenerativeRun, seed: int, data: str | None, folder: Path = RESULTS) -> State:
    """How a run stands.

    Args:
        run: The run.
        seed: Of everything random.
        data: Digest of its data, see `study.datasets`.
        folder: Of records.
    """
    path = path_of(run, seed, folder)
    if not path.exists():
        return "due"
    record = GenerativeRecord.model_validate_json(path.read_bytes())
    return "current" if is_current(record, run, data) else "earlier"


def path_of(run: GenerativeRun, seed: int, folder: Path = RESULTS) -> Path:
    """Where a record lies, whether there is one or not."""
    return folder / run.dataset / f"{run.name}.{seed}.json"


def write(record: GenerativeRecord, folder: Path = RESULTS) -> Path:
    """Write a record, whole or not at all; an earlier one of the same run is replaced."""
    path = path_of(record.run, record.seed, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".fresh")  # no record, should the process end here
    scratch.write_text(as_lines(record), encoding="utf-8")
    scratch.replace(path)
    return path


def read(folder: Path = RESULTS) -> list[GenerativeRecord]:
    """All records, in the order of `runs`, then by seed; of other runs at the end."""
    found = [
        GenerativeRecord.model_validate_json(path.read_bytes()) for path in sorted(folder.glob("*/*.json"))
    ]
    places = {run.label: place for place, run in enumerate(runs())}
    return sorted(found, key=lambda r: (places.get(r.run.label, len(places)), r.run.label, r.seed))
