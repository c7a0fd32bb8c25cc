"""What a tuning job found out once, kept as JSON beside its checkpoints: no later run finds it out again."""

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from featurestore.objects import disk_errors

_T = TypeVar("_T")


def read_kept(form: TypeAdapter[_T], file: Path) -> _T | None:
    """What a file keeps; None if there is none, or one of an earlier form or cut off, which is removed."""
    if not file.is_file():
        return None
    try:
        return form.validate_json(file.read_bytes())
    except ValidationError:
        file.unlink()
        return None


def keep(form: TypeAdapter[_T], file: Path, value: _T) -> None:
    """Write a file, whole or not at all.

    Raises:
        StorageFullError: If there is no room.
    """
    fresh = file.with_name(f"{file.name}.fresh")
    with disk_errors(str(file)):
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(form.dump_json(value))
        fresh.replace(file)
