"""Copies of a data set's project, for whatever adds features to it, and commands in them."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from featurestore.errors import SetupError
from scripts.study.datasets import ROOT, Dataset, data_digest, prepare


def copied_project(folder: Path, dataset: Dataset, data: Path, steps: Sequence[Sequence[str]] = ()) -> Path:
    """The copy of this data's project in a folder; made if there is none, whole or not at all.

    Args:
        folder: Of copies.
        dataset: The data set.
        data: Folder of the evaluation data.
        steps: Commands that are run in a new copy.

    Raises:
        InputError: If the data set's files are not there.
        SetupError: If it cannot be prepared, or a command fails.
    """
    project = folder / f"{dataset.name}-{data_digest(dataset, data)[:12]}"
    if project.exists():
        return project
    prepare(dataset, data)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{dataset.name}-", dir=folder) as scratch:
        copy = Path(scratch) / dataset.name
        shutil.copytree(dataset.project, copy)
        for step in steps:
            run_in(copy, dataset, step)
        copy.replace(project)
    return project


def run_in(project: Path, dataset: Dataset, words: Sequence[str]) -> None:
    """Run a ``featurestore`` command in a project.

    Raises:
        SetupError: If it fails.
    """
    command = [sys.executable, "-m", "cli.main", *words, "--project", str(project), "--json"]
    code = subprocess.run(command, stdout=subprocess.DEVNULL, cwd=ROOT, check=False).returncode
    if code:
        raise SetupError(
            f"`featurestore {' '.join(words)}` for {dataset.name} ended with exit code {code}.",
            hint="Its own message stands above; run again to go on from this command.",
        )
