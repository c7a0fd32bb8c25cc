"""Tunings of LLMGR's decoder that small models learn from: which there are, what they gave, where that lies.

What a document may say of a tuning is in its record, ``docs/results/llmgr/<name>.json``. Vectors and lists
are large and stay out of the repository: they lie in ``.cache/llmgr/exports/<digest>``, by the digest of
their content. Runs of the form ``tuned`` name that folder in their settings, so that they are due again when
the decoder was tuned anew. `study.llmgr_stages` tunes.
"""

from pathlib import Path
from typing import Final

from pydantic import Field
from safetensors import safe_open
from safetensors.numpy import save_file

from featurestore.errors import SetupError
from featurestore.ids import digest, digest_bytes, digest_texts
from featurestore.reader import Release
from featurestore.spec import Frozen
from llm_jobs.tuning.llmgr_config import Stage
from recommender.features import EntityFeatures
from recommender.session.teacher_lists import TeacherLists
from scripts.study.datasets import ROOT
from scripts.study.runs import as_lines

RESULTS: Final = ROOT / "docs" / "results" / "llmgr"
EXPORTS: Final = ROOT / ".cache" / "llmgr" / "exports"
MAIN: Final = "two-stages"
_VECTORS: Final = "vectors.safetensors"
_TEACHER: Final = "teacher.safetensors"
_HINT: Final = "Tune with: python scripts/llmgr_tuning.py --only"


class Tuning(Frozen):
    """One way to tune.

    Attributes:
        name: Of the record.
        why: What it is there for, in words.
        feature: Of the vectors t_v; tunings of one first stage share it.
        first: Settings of stage 1, as text; None leaves it out.
        second: The stage that reads sessions.
        settings: Of that stage, as text.
    """

    name: str
    why: str
    feature: str
    first: dict[str, str] | None = Field(default_factory=dict[str, str])
    second: Stage = "behaviour"
    settings: dict[str, str] = Field(default_factory=dict[str, str])


class StageRecord(Frozen):
    """What a stage did.

    Attributes:
        stage: Which.
        adapter: Digest of what it left.
        num_examples: Titles and sessions that were learned from.
        steps: Optimiser steps.
        first_loss: Mean training loss of the first tenth of the steps.
        last_loss: Mean training loss of the last tenth.
        seconds: Wall clock of the process that ended it.
    """

    stage: Stage
    adapter: str
    num_examples: int
    steps: int
    first_loss: float
    last_loss: float
    seconds: float


class TuningRecord(Frozen):
    """What a tuning gave.

    Attributes:
        tuning: The tuning.
        dataset: What it was tuned on.
        data: Digest of that, see `study.datasets`.
        digest: Of vectors and lists.
        decoder: Alias of the base model.
        seed: Of everything random.
        settings: Of all stages, beside the defaults.
        stages: In order.
        num_vectors: Items with a t_v.
        num_taught: Sessions that have a list.
        top_k: Items of a list.
        hit_rate: Share of these sessions whose newest training click is in the list.
    """

    tuning: Tuning
    dataset: str
    data: str
    digest: str
    decoder: str
    seed: int
    settings: dict[str, str]
    stages: tuple[StageRecord, ...]
    num_vectors: int
    num_taught: int
    top_k: int
    hit_rate: float


TUNINGS: Final = (
    Tuning(name=MAIN, why="as the paper: titles, then sessions", feature="llmgr"),
    Tuning(
        name="no-alignment",
        why="without the auxiliary stage",
        feature="llmgr-no-alignment",
        first=None,
    ),
    Tuning(name="joint", why="both stages in one", feature="llmgr-joint", first=None, second="joint"),
    Tuning(
        name="no-graph",
        why="prompts of sessions without a graph token",
        feature="llmgr",
        settings={"graph_token": "none"},
    ),
    Tuning(
        name="shuffled-texts",
        why="titles of other items in stage 1",
        feature="llmgr-shuffled",
        first={"texts": "shuffled"},
    ),
    Tuning(
        name="rsl",
        why="RSL: sessions in words alone",
        feature="llmgr-rsl",
        first=None,
        settings={"sessions": "titles", "first_output": "random"},
    ),
)
"""The paper's way, then its controls, then RSL (arXiv 2308.10837), which reads neither nodes nor graphs."""


def read_tuning(name: str, folder: Path = RESULTS) -> TuningRecord | None:
    """The record of a tuning; None if it has none."""
    path = folder / f"{name}.json"
    return TuningRecord.model_validate_json(path.read_bytes()) if path.exists() else None


def write_tuning(record: TuningRecord, folder: Path = RESULTS) -> None:
    """Write a record, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f"{record.tuning.name}.fresh"
    scratch.write_text(as_lines(record), encoding="utf-8")
    scratch.replace(folder / f"{record.tuning.name}.json")


def teacher_of(name: str, folder: Path = RESULTS) -> str:
    """Where lists of a tuning lie, relative to the checkout; of one that has no record, nowhere."""
    record = read_tuning(name, folder)
    place = EXPORTS / (f"no-{name}" if record is None else record.digest) / _TEACHER
    return str(place.relative_to(ROOT))


def write_export(
    vectors: EntityFeatures, lists: TeacherLists, release: Release, folder: Path = EXPORTS
) -> str:
    """Write vectors and lists by rows of a release's id maps.

    Args:
        vectors: (I, d) t_v.
        lists: Of the release's users.
        release: Whose rows these are.
        folder: Of all exports; made if need be.

    Returns:
        Digest of what was written.
    """
    rows = _rows_of(release)
    arrays = vectors.matrix, lists.items, lists.scores
    found = digest([rows, [digest_bytes(array.tobytes()) for array in arrays]])
    target = folder / found
    target.mkdir(parents=True, exist_ok=True)
    fresh = target / f"{_VECTORS}.fresh"
    save_file({"items": vectors.matrix}, fresh, metadata=rows | {"spec": vectors.spec_digests[0]})
    fresh.replace(target / _VECTORS)
    lists.save(target / _TEACHER)
    return found


def tuned_items(teacher: str, release: Release, root: Path = ROOT) -> EntityFeatures:
    """Vectors that lie beside lists of a teacher.

    Args:
        teacher: What `teacher_of` gave.
        release: Whose items they are lined up with.
        root: What ``teacher`` is relative to.

    Raises:
        SetupError: If there are none, or they are of the rows of another release.
    """
    path = (root / teacher).with_name(_VECTORS)
    if not path.is_file():
        raise SetupError(f"there are no tuned vectors at {path}.", hint=f"{_HINT} NAME")
    with safe_open(path, framework="numpy") as opened:
        said, matrix = dict(opened.metadata()), opened.get_tensor("items")
    rows = _rows_of(release)
    if any(said.get(name) != value for name, value in rows.items()):
        raise SetupError(
            f"the vectors at {path} are of the rows of another release.",
            hint=f"Remove .cache/llmgr, then tune on this data. {_HINT} NAME",
        )
    return EntityFeatures(matrix, matrix.any(axis=1), (said["spec"],))


def _rows_of(release: Release) -> dict[str, str]:
    return {f"{entity}_ids": digest_texts(release.id_map(entity).ids) for entity in ("item", "user")}
