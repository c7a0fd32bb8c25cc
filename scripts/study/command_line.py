"""What the scripts of studies have in common on the command line."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from featurestore.errors import FeatureStoreError
from scripts.study.datasets import ROOT

_DATA: Final = ROOT.parent / "shared" / "data"
_INTERRUPTED: Final = 130


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose help shows a docstring as it is."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """``--data``: the folder of the evaluation data."""
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FEATURESTORE_DATA", _DATA)))


def positive(text: str) -> int:
    """An option's value: a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def exit_code(work: Callable[[], int | None]) -> int:
    """Do some work: its own code, 130 if a person stopped it; an error of ours is said, and ends with 1."""
    try:
        return work() or 0
    except FeatureStoreError as error:
        hint = f"\n  {error.hint}" if error.hint else ""
        print(f"error: {error.message}{hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def add_output_option(parser: argparse.ArgumentParser) -> None:
    """``--output``: where a page goes."""
    parser.add_argument("--output", type=Path, help="file to write; printed without")


def put_out(page: str, output: Path | None) -> None:
    """Write a page to a file, or print it."""
    if output is None:
        print(page, end="")
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(page, encoding="utf-8")
