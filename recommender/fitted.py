"""Which trained models of a folder learned from which release, without loading any of them."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

_CONFIG_FILE: Final = "config.json"
_BINDING: Final = "binding"


def models_fitted_on(folder: Path, releases: Collection[int]) -> list[str]:
    """Folders of saved models that were fitted on one of some releases, relative to ``folder``, sorted.

    Args:
        folder: Searched with all folders in it.
        releases: Numbers of releases.
    """
    found = [place for place, release in _bindings(folder) if release in releases]
    return sorted(str(place.relative_to(folder)) for place in found)


def _bindings(folder: Path) -> Iterator[tuple[Path, int]]:
    """Every saved model (see `recommender.saved`) and its release; other files of that name are passed by."""
    for path in folder.rglob(_CONFIG_FILE):
        try:
            stated = json.loads(path.read_bytes())
        except (ValueError, OSError):
            continue
        binding = stated.get(_BINDING) if isinstance(stated, dict) else None
        if isinstance(binding, dict) and isinstance(release := binding.get("release"), int):
            yield path.parent, release
