"""A comparison on disk: numbers, a page, and the values of single users."""

import json
from pathlib import Path

import numpy as np
import polars as pl

from featurestore import columns as c
from featurestore.errors import UsageError
from featurestore.reader import Release
from recommender.evaluation.compare import Comparison

JSON_FILE = "evaluation.json"
PAGE_FILE = "evaluation.html"
USERS_FILE = "per_user.parquet"


def prepare_folder(folder: Path) -> None:
    """Make a folder to write to, before any work is done.

    Raises:
        UsageError: If it is a file, or holds a trained model, which a report must not be mixed with.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file.", hint="Name a folder with --output.")
    if (folder / "config.json").exists():
        raise UsageError(
            f"{folder} holds a trained model; a report is not written into it.",
            hint="Name another folder with --output.",
        )
    folder.mkdir(parents=True, exist_ok=True)


def write_comparison(folder: Path, report: Comparison, page: str, release: Release) -> list[Path]:
    """Write ``evaluation.json``, ``evaluation.html`` and ``per_user.parquet``; older ones are replaced.

    Args:
        folder: See `prepare_folder`.
        report: What was measured.
        page: Its page.
        release: The one that was tested on, for the ids of users.

    Returns:
        The three files.
    """
    paths = [folder / name for name in (JSON_FILE, PAGE_FILE, USERS_FILE)]
    paths[0].write_text(json.dumps(report.as_dict(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    paths[1].write_text(page, encoding="utf-8")
    user_values(report, release).write_parquet(paths[2])
    return paths


def user_values(report: Comparison, release: Release) -> pl.DataFrame:
    """Full-ranking metrics of every user and result, seeds averaged.

    Returns:
        Columns ``model``, ``user_id`` and one per metric. Of sessions, one row per prefix.
    """
    ids = release.id_map("user").ids
    user_ids = [ids[row] for row in report.user_rows.tolist()]
    frames = [
        pl.DataFrame({"model": np.repeat(name, len(user_ids)).tolist(), c.USER_ID: user_ids} | dict(metrics))
        for name, metrics in report.per_user.items()
    ]
    return pl.concat(frames)
