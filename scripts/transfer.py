"""Carry an alignment from one shop to another: RecMind's adapter, tuned on Beauty, reads the texts of Toys.

    python scripts/transfer.py

LightGCN is trained on Beauty and its vectors stored; ``tune recmind`` tunes an adapter of the encoder that
agrees with them; a copy of Toys embeds its items' texts with that adapter, another without; RecMind is
trained and tested on both. A stopped run goes on where it stopped when it is called again: what is done is
kept in --work. The record goes to docs/results/transfer.json, and docs/results/recmind.md tells of it.
About an hour of one core.
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import polars as pl

from featurestore.ids import digest
from featurestore.jobs.runcard import library_versions
from featurestore.version import product_version
from recommender.evaluation.report_files import USERS_FILE
from recommender.evaluation.significance import paired_tests
from scripts.study.command_line import add_data_option, exit_code, new_parser
from scripts.study.command_steps import Steps
from scripts.study.datasets import ROOT, data_digest, find_dataset
from scripts.study.machine_facts import machine_facts
from scripts.study.project_copy import copied_project
from scripts.study.recmind_transfer import JUDGED, METRICS, RARE_METRIC
from scripts.study.records import Records
from scripts.study.studies import write
from scripts.study.transfer_record import (
    Aligned,
    Difference,
    Rare,
    Trained,
    TransferRecord,
    Tuned,
    write_transfer,
)
from scripts.study.work import end_on_signals

CACHE: Final = ROOT / ".cache" / "transfer"
FROM, TO = "amazon14-beauty", "amazon14-toys"
FEATURE: Final = "item_text"
BASE: Final = "minilm"
SETTINGS: Final = {"epochs": "1", "batch_size": "32", "learning_rate": "3e-4", "max_tokens": "64"}
"""Of ``tune recmind``, fixed beforehand."""
SEED: Final = 0
_RARE: Final = "1-9"
_MEANT: Final = ("embedding_space", "knn_churn")
"""Gates that an adapter's vectors are held up by: that they move is what is measured."""
_ENTRY: Final = f'\n[encoders.{BASE}]\nadapter = "adapter"\n'


def tune(steps: Steps, project: Path) -> dict[str, Any]:
    """Tune an adapter against LightGCN's vectors in the first shop; gives what the command reports."""
    steps.command(project, ["train", "lightgcn", "--seed", str(SEED)], note=FROM)
    steps.command(project, ["vectors", "--model", "models/lightgcn"])
    steps.command(project, ["publish"], note=FROM)
    words = ["tune", "recmind", "--items", FEATURE, "--vectors", "lightgcn", "--encoder", BASE]
    words += [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    return steps.command(project, [*words, "--seed", str(SEED)])


def carry(steps: Steps, adapter: Path, project: Path) -> None:
    """Let the second shop's texts be embedded with an adapter of the first, and publish that."""
    if not (project / "adapter").exists():
        shutil.copytree(adapter, project / "adapter.part", dirs_exist_ok=True)
        (project / "adapter.part").replace(project / "adapter")
        with (project / "featurestore.toml").open("a", encoding="utf-8") as config:
            config.write(_ENTRY)
    steps.command(project, ["embed", "--feature", FEATURE, "--encoder", BASE])
    accepted = [word for gate in _MEANT for word in ("--accept", gate)]
    steps.command(project, ["publish", "--feature", FEATURE, *accepted], note=f"{TO}, carried")


def train(steps: Steps, name: str, project: Path) -> Trained:
    """Train RecMind on the project's vectors and test it; its report is left in the project."""
    words = ["train", "recmind", "--features", FEATURE, "--seed", str(SEED)]
    fit = steps.command(project, words, note=name)
    tested = steps.command(project, ["evaluate", "models/recmind", "--output", "report"], note=name)
    result = next(each for each in tested["results"] if each["folders"])
    rare = next(part for part in result["strata"] if part["kind"] == "item degree" and part["label"] == _RARE)
    return Trained(
        name=name,
        epochs=fit["models"][0]["fit"]["epochs"],
        metrics={metric: result["means"][metric] for metric in METRICS},
        rare=Rare(
            label=rare["label"],
            num_pairs=rare["num_pairs"],
            metrics={RARE_METRIC: rare["means"][RARE_METRIC]},
        ),
    )


def work(options: argparse.Namespace) -> None:
    """Do what is not done yet, then write the record and the documents."""
    shops = {name: find_dataset(name) for name in (FROM, TO)}
    data = {name: data_digest(dataset, options.data) for name, dataset in shops.items()}
    folder = options.work.resolve() / digest([data, SETTINGS, SEED])[:12]
    steps = Steps(folder / "steps.json")
    source = copied_project(folder / "tuned", shops[FROM], options.data)
    report = tune(steps, source)
    adapter = source / "store" / "adapters" / report["adapter"]
    frozen, carried = (
        copied_project(folder / name, shops[TO], options.data) for name in ("frozen", "carried")
    )
    carry(steps, adapter, carried)
    trained = train(steps, "frozen vectors", frozen), train(steps, "carried alignment", carried)
    values = [_per_user(project) for project in (frozen, carried)]
    record = TransferRecord(
        product=product_version(),
        machine=machine_facts(),
        libraries=library_versions(),
        data=data,
        encoder=BASE,
        settings=SETTINGS,
        tuned=_tuned(report),
        trained=trained,
        differences=_differences(values[1], values[0]),
        num_users=values[0].height,
        seed=SEED,
        steps=steps.times,
    )
    write_transfer(record)
    write(Records())


def _tuned(report: dict[str, Any]) -> Tuned:
    tuning = report["tuning"]
    return Tuned(
        adapter=report["adapter"],
        num_examples=report["num_examples"],
        num_tokens=report["num_tokens"],
        steps=tuning["steps"],
        epochs=int(SETTINGS["epochs"]),
        steps_now=tuning["steps"] - tuning["resumed_at"],
        seconds=tuning["seconds"],
        peak_bytes=report["peak_bytes"],
        before=Aligned.model_validate(report["before"]["item"]),
        after=Aligned.model_validate(report["after"]["item"]),
    )


def _per_user(project: Path) -> pl.DataFrame:
    """Metrics of the model's test users, in the order of their ids."""
    values = pl.read_parquet(project / "report" / USERS_FILE)
    return values.filter(pl.col("model") != "popularity").sort("user_id")


def _differences(ours: pl.DataFrame, theirs: pl.DataFrame) -> dict[str, Difference]:
    found: dict[str, Difference] = {}
    for metric in JUDGED:
        test = paired_tests({"": ours[metric].to_numpy()}, theirs[metric].to_numpy())[""]
        found[metric] = Difference(
            difference=test.difference, low=test.low, high=test.high, p_value=test.p_value
        )
    return found


def main() -> int:
    """Parse options, run."""
    parser = new_parser(__doc__)
    parser.add_argument("--work", type=Path, default=CACHE, help="folder of what is done")
    add_data_option(parser)
    options = parser.parse_args()
    end_on_signals()
    return exit_code(lambda: work(options))


if __name__ == "__main__":
    sys.exit(main())
