"""Runs of ISRF's generative form, and records: ``docs/results/generative/<data set>/<name>.<seed>.json``.

A run trains one of the systems of `recommender.generative.config` on all users of a data set and decodes all
test users. What a document may say is in the record; `read` gives all of them. They stand apart from
`study.records`: a run of these has lists instead of ranks of all items.
"""

from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pydantic import Field

from featurestore.spec import Frozen
from recommender.base import FitReport
from scripts.study.runs import as_lines

RESULTS: Final = Path(__file__).resolve().parents[2] / "docs" / "results" / "generative"

Profiles: TypeAlias = Literal["train", "whole"]
"""What a user's vector is the mean of: texts of the items of training events, or of the whole history, as the
published profiles are: held-out items included."""


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
        code: Digest of the files of `recommender.generative`.
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


def path_of(run: GenerativeRun, seed: int, folder: Path = RESULTS) -> Path:
    """Where a record lies, whether there is one or not."""
    return folder / run.dataset / f"{run.name}.{seed}.json"


def write(record: GenerativeRecord, folder: Path = RESULTS) -> Path:
    """Write a record, whole or not at all; an earlier one of the same run is replaced."""
    path = path_of(record.run, record.seed, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}")
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
