"""Data sets of the study, each prepared once as a project by the product's own commands.

A project lies in ``.cache/results/<data set>``. ``prepared.json`` in it lists the commands that were run, so
that an interrupted preparation goes on where it stopped; whatever may change the store's content (the files,
the commands) is in the data digest, and a changed digest makes every run of the data set due.
"""

import fcntl
import hashlib
import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from featurestore.errors import InputError, SetupError, UnknownNameError
from featurestore.ids import digest

ROOT: Final = Path(__file__).resolve().parents[2]
CACHE: Final = ROOT / ".cache" / "results"
_INGEST: Final = "ingest --interactions {data}/interactions.parquet --split official"
_AMAZON: Final = f"{_INGEST} --items {{data}}/items.parquet --map items.categories=category_paths"


@dataclass(frozen=True, slots=True)
class Dataset:
    """One data set.

    Attributes:
        name: Its folder in the evaluation data.
        steps: Commands that make a release of it; ``{data}`` is its folder.
        item_feature: Vector feature of items; None without texts.
        user_feature: Vector feature of users, made from train and validation events; None without.
        texts: What the texts are, in words.
        cutoff: K of the metrics that tables show.
        monitor: Validation metric that chooses epochs.
        user_groups: Columns of its users that divide them.
        events: What users did, in words, and what a user is where it is no person.
    """

    name: str
    steps: tuple[str, ...]
    item_feature: str | None
    user_feature: str | None
    texts: str
    cutoff: int
    monitor: str
    user_groups: tuple[str, ...] = ()
    events: str = ""

    @property
    def project(self) -> Path:
        """Folder of its project."""
        return CACHE / self.name

    @property
    def metrics(self) -> tuple[str, str]:
        """What its tables show: recall (the hit rate where users have one test item) and NDCG."""
        return f"recall@{self.cutoff}", f"ndcg@{self.cutoff}"


def _amazon(name: str, events: str) -> Dataset:
    return Dataset(
        name=name,
        steps=("init", _AMAZON, "embed --feature item_text --encoder minilm", "publish --feature item_text"),
        item_feature="item_text",
        user_feature=None,
        events=events,
        texts="titles, brands and category paths; no language model wrote them",
        cutoff=10,
        monitor="ndcg@10",
    )


_PROFILES: Final = (
    "import --feature llm_profile --entity item --table {data}/items.parquet --key item_id "
    "--text llm_profile --producer '{producer}'"
)
_TASTES: Final = (
    "import --feature llm_taste --entity user --table {data}/users.parquet --key user_id --text llm_profile "
    "--producer '{producer}' --events current:train+valid"
)


def _with_profiles(
    name: str, producer: str, *, events: str, texts: str, user_groups: tuple[str, ...] = ()
) -> Dataset:
    return Dataset(
        name=name,
        steps=(
            "init",
            f"{_INGEST} --items {{data}}/items.parquet --users {{data}}/users.parquet",
            _PROFILES.replace("{producer}", producer),
            _TASTES.replace("{producer}", producer),
            "embed --feature llm_profile --encoder minilm",
            "embed --feature llm_taste --encoder minilm",
            "publish",
        ),
        item_feature="llm_profile",
        user_feature="llm_taste",
        events=events,
        texts=texts,
        cutoff=20,
        monitor="ndcg@20",
        user_groups=user_groups,
    )


SLICE: Final = Dataset(
    name="session-diginetica-slice",
    steps=(
        "init",
        "ingest --interactions {data}/interactions.parquet --split leave_one_out",
        "publish",
    ),
    item_feature=None,
    user_feature=None,
    events="clicks in a shop, the newest quarter of Diginetica; a user is a session",
    texts="none",
    cutoff=20,
    monitor="ndcg@20",
)
"""Its files are written by `study.session_slice`."""

GAPS: Final = Dataset(
    name="ml-100k",
    steps=(
        "init",
        "ingest --interactions {data}/interactions.parquet --sessions gap --split leave_one_out",
        "publish",
    ),
    item_feature=None,
    user_feature=None,
    events=(
        "ratings of films; a user is a session, a burst of one person's ratings that ends where half an hour "
        "goes by without one"
    ),
    texts="none",
    cutoff=20,
    monitor="ndcg@20",
)

DATASETS: Final = {
    dataset.name: dataset
    for dataset in (
        _with_profiles(
            "colakg-lastfm",
            "DeepSeek, CoLaKG",
            events="artists that people listened to, without order",
            texts=(
                "descriptions of artists that DeepSeek wrote (CoLaKG); its descriptions of users were "
                "written from the official training part, which holds our validation part too"
            ),
        ),
        _amazon("amazon14-beauty", "reviews of beauty products, in order"),
        _amazon("amazon14-toys", "reviews of toys and games, in order"),
        Dataset(
            name="gowalla",
            steps=("init", f"{_INGEST} --valid-share 0.02", "publish"),
            item_feature=None,
            user_feature=None,
            events="visits to places, without order",
            texts="none",
            cutoff=20,
            monitor="recall@20",
        ),
        _with_profiles(
            "agent4rec-ml1m",
            "GPT-3.5, Agent4Rec",
            events="ratings of films, without order",
            texts="one-sentence summaries of films and tastes of users that GPT-3.5 wrote (Agent4Rec)",
            user_groups=("gender", "age"),
        ),
        SLICE,
        GAPS,
    )
}


def find_dataset(name: str) -> Dataset:
    """A data set by name.

    Raises:
        UnknownNameError: Listing those there are.
    """
    if name not in DATASETS:
        raise UnknownNameError("data set", name, DATASETS)
    return DATASETS[name]


def data_digest(dataset: Dataset, data: Path) -> str:
    """Digest of the data set's files and of the commands that prepare it: machines agree on it.

    Raises:
        InputError: If the files are not there.
    """
    files = sorted((data / dataset.name).glob("*.parquet"))
    if not files:
        raise InputError(
            f"there are no files of {dataset.name} in {data}.",
            hint="Name the folder of the evaluation data with --data or FEATURESTORE_DATA.",
        )
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return digest({"files": sums, "steps": list(dataset.steps)})


def prepare(dataset: Dataset, data: Path) -> None:
    """Make the project and its release, or what is missing of it; waits for another process that does.

    Raises:
        InputError: If the files are not there.
        SetupError: If a command fails.
    """
    expected = data_digest(dataset, data)
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{dataset.name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _prepare(dataset, data, expected)


def _prepare(dataset: Dataset, data: Path, expected: str) -> None:
    record = dataset.project / "prepared.json"
    found = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    done: list[str] = found["steps"] if found.get("data") == expected else []
    if not done:
        shutil.rmtree(dataset.project, ignore_errors=True)
    for step in dataset.steps[len(done) :]:
        print(f"{dataset.name}: featurestore {step}", flush=True)
        _run(dataset, step, data)
        done.append(step)
        content = {"data": expected, "steps": done}
        record.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _run(dataset: Dataset, step: str, data: Path) -> None:
    folder = str((data / dataset.name).resolve())
    words = [word.replace("{data}", folder) for word in shlex.split(step)]
    project = [str(dataset.project)] if step == "init" else ["--project", str(dataset.project)]
    command = [sys.executable, "-m", "cli.main", *words, *project, "--json"]
    code = subprocess.run(command, stdout=subprocess.DEVNULL, cwd=ROOT, check=False).returncode
    if code != 0:
        raise SetupError(
            f"`featurestore {step}` for {dataset.name} ended with exit code {code}.",
            hint="Its own message stands above; run again to go on from this command.",
        )
