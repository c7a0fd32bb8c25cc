"""Carry records over a change of code that computes the same, so that nothing has to be trained again.

    python scripts/carry_records.py --from HEAD~1

A record belongs to the version of the code that computed it. A change that cannot change results (a clearer
error, a conversion that does nothing) makes a new version all the same. This fits the model of every record
that was current at the other commit, with the settings of its run but few epochs, in both trees on the same
small data, and compares weights, scores and metrics: where they are equal to the bit, the record is carried
over; where not, it is named and its run is due. What a small data set does not reach is not compared: look at
the change, too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from featurestore.ids import digest, digest_bytes
from featurestore.progress import no_progress
from recommender.data import TrainingData
from recommender.evaluate import evaluate_ranking
from recommender.features import EntityFeatures, NodeFeatures
from recommender.registry import find_model, parse_settings
from recommender.testing import checkerboard, checkerboard_features
from scripts.study.code_version import run_version
from scripts.study.records import RESULTS, Records
from scripts.study.runs import Record, Run

ROOT: Final = Path(__file__).resolve().parents[1]
_FEW: Final = {"epochs": "3", "eval_every": "1", "batch_size": "64"}
_FAILED: Final = "failed: "


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Path of a record → its version in this tree, whether it is current, and a digest of a small fit."""
    found: dict[str, dict[str, Any]] = {}
    fits: dict[str, str] = {}
    for path, record in _records(folder):
        version = run_version(record.run)
        like = digest([record.run.model, record.run.form, record.run.settings])
        if like not in fits:
            fits[like] = _small_fit(record.run)
        is_current = record.key == record.run.key(version, record.data)
        found[str(path)] = {"version": version, "current": is_current, "fit": fits[like]}
    return found


def carry(folder: Path, before: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> list[str]:
    """Give records the key of this tree where it computes the same; returns a line for each that changed."""
    said: list[str] = []
    for path, record in _records(folder):
        old, new = before[str(path)], now[str(path)]
        if not old["current"] or old["version"] == new["version"]:
            continue
        if old["fit"] != new["fit"] or new["fit"].startswith(_FAILED):
            said.append(f"due again: {record.run.name} ({old['fit']} before, {new['fit']} now)")
            continue
        key = record.run.key(new["version"], record.data)
        carried = record.model_copy(update={"code": new["version"], "key": key})
        Records(folder).rewrite(carried)
        said.append(f"carried: {record.run.name}")
    return said


def _records(folder: Path) -> list[tuple[Path, Record]]:
    paths = sorted(path for path in folder.glob("*/*.*.*.json"))
    return [(path, Record.model_validate_json(path.read_bytes())) for path in paths]


def _small_fit(run: Run) -> str:
    """Digest of everything that a few epochs on a checkerboard leave; or why they leave nothing."""
    torch.set_num_threads(1)
    data, _ = checkerboard()
    entry = find_model(run.model)
    fields = entry.config_type.model_fields
    few = {name: value for name, value in _FEW.items() if name in fields}
    try:
        model = entry.model_type(parse_settings(entry.config_type, run.settings | few))
        model.fit(data, features=_features(run, data), seed=5, progress=no_progress)
    except Exception as error:  # noqa: BLE001 - what cannot be fitted here is due again
        return f"{_FAILED}{type(error).__name__}: {error}"
    groups = {f"{g}.{n}": array for g, arrays in model.arrays().items() for n, array in arrays.items()}
    groups["scores"] = model.score(np.arange(data.num_users))
    means = evaluate_ranking(model.score, data.valid).means()
    arrays = [[name, digest_bytes(np.ascontiguousarray(groups[name]).tobytes())] for name in sorted(groups)]
    return digest([arrays, {name: float(value).hex() for name, value in sorted(means.items())}])


def _features(run: Run, data: TrainingData) -> NodeFeatures | None:
    if run.form == "plain":
        return None
    items = checkerboard_features().items
    if run.form != "both":
        return NodeFeatures(items)
    matrix = np.random.default_rng(4).normal(size=(data.num_users, 5)).astype(np.float32)
    return NodeFeatures(items, EntityFeatures(matrix, np.ones(data.num_users, bool), ("2" * 32,)))


def _described_by(tree: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """`describe` as the code of a tree has it."""
    command = [sys.executable, "-P", str(Path(__file__).resolve()), "--describe", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main() -> None:
    """Parse options; describe both trees, carry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--from", dest="commit", default="HEAD", help="commit whose records are carried over")
    parser.add_argument("--describe", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.describe is not None:
        computed_by = Path(find_model.__code__.co_filename)
        if not computed_by.is_relative_to(Path.cwd()):  # two fits of one tree would be equal whatever changed
            sys.exit(f"error: models of {computed_by} were imported, those of {Path.cwd()} were expected.")
        print(json.dumps(describe(options.describe)))
        return
    with tempfile.TemporaryDirectory() as parent:
        tree = Path(parent) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), options.commit], check=True)
        try:
            before = _described_by(tree, RESULTS)
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)
    for line in carry(RESULTS, before, _described_by(ROOT, RESULTS)):
        print(line)


if __name__ == "__main__":
    main()
