"""Records of the generative form: ``docs/results/generative/<data set>/<name>.<seed>.json``.

A run trains one of the systems of `recommender.generative.config` on all users of a data set and decodes all
test users. What a document may say is in the record; `read` gives all of them. They stand apart from
`study.records`: a run of these has lists instead of ranks of all items. A record is current while the code
that the run reaches, its settings and its data are as they were, and if its training ended by itself.
"""

from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from featurestore.spec import Frozen
from recommender.base import FitReport
from scripts.study.code_version import FUSIONS, code_version
from scripts.study.definitions import Place
from scripts.study.generative_runs import GenerativeRun, runs
from scripts.study.runs import as_lines

RESULTS: Final = Path(__file__).resolve().parents[2] / "docs" / "results" / "generative"

State: TypeAlias = Literal["current", "stopped", "earlier", "due"]
"""``current``: a record of this code, run and data. ``stopped``: one whose training --minutes ended, where
other minutes are asked for. ``earlier``: a record of other code, run or data. ``due``: no record."""
_PATH: Final[tuple[Place, ...]] = (
    ("recommender.generative.model", "GenerativeModel"),
    ("recommender.generative.means", "list_means"),
    ("recommender.generative.means", "choice_means"),
    ("recommender.generative.experiment", "item_digits"),
    ("recommender.generative.tokens", "digits_of"),
    ("recommender.generative.tokens", "sequential_numbers"),
    ("recommender.generative.tokens", "shuffled_numbers"),
    ("recommender.data", "load_training_data"),
    ("recommender.data", "load_histories"),
    ("recommender.evaluation.tasks", "load_test_data"),
    ("recommender.sampled", "draw_negatives"),
    ("recommender.features", "entity_features"),
    ("recommender.interests.user_graph", "user_vectors"),
)
"""What every run goes through."""
_CODES: Final[tuple[Place, ...]] = (
    ("featurestore.codes.generations", "SemanticIdOptions"),
    ("featurestore.codes.residual_quantizer", "train_centroids"),
    ("featurestore.codes.residual_quantizer", "encode"),
    ("featurestore.codes.collision_digits", "_next_digits"),
)
"""What makes semantic ids."""


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
        direct: The same of the direct task, among the test item and fixed negatives; None if the run did not
            learn it.
        negatives: Digest of these negatives.
        item_digits: Digest of the names of items.
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
    direct: dict[str, float] | None = None
    negatives: str | None = None
    item_digits: str | None = None
    cpu_seconds_per_epoch: float | None = None

    @property
    def seconds_per_epoch(self) -> float:
        """Processor time of an epoch; wall-clock time where that was not taken."""
        return self.cpu_seconds_per_epoch or self.fit.seconds / max(self.fit.epochs, 1)


def generative_version(run: GenerativeRun) -> str:
    """The version of the code that a run computes with, see `study.code_version`.

    ISRF's graph form is in it, whose layers the generative one shares, but for fusions that it never has.
    """
    path = (*_PATH, *_CODES) if run.settings.get("tokens") == "codes" else _PATH
    return code_version("isrf", path=path, unread=frozenset(FUSIONS.values()))


def standing(
    record: GenerativeRecord, run: GenerativeRun, data: str | None, minutes: float | None = None
) -> State:
    """How a record stands.

    Args:
        record: The record.
        run: What it should be of.
        data: Digest of the run's data, see `study.datasets`; None: of whatever data.
        minutes: After which training may have been ended; None: it must have ended by itself.
    """
    said = {"why"}
    same = record.run.model_dump(exclude=said) == run.model_dump(exclude=said)
    if not (same and record.code == generative_version(run) and data in {None, record.data}):
        return "earlier"
    return "current" if record.stopped_minutes in {None, minutes} else "stopped"


def state_of(
    run: GenerativeRun, seed: int, data: str | None, folder: Path = RESULTS, *, minutes: float | None = None
) -> State:
    """How a run stands.

    Args:
        run: The run.
        seed: Of everything random.
        data: Digest of its data, see `study.datasets`.
        folder: Of records.
        minutes: See `standing`.
    """
    path = path_of(run, seed, folder)
    if not path.exists():
        return "due"
    return standing(GenerativeRecord.model_validate_json(path.read_bytes()), run, data, minutes)


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
