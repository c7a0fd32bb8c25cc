"""Saved models by what was trained: seeds of one configuration are averaged, and some may not be."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from featurestore.errors import StoreError, UsageError
from recommender.evaluation.labels import model_labels
from recommender.saved import SavedConfig, find_folders, read_config

POPULARITY: Final = "popularity"

ModelGroup: TypeAlias = list[tuple[Path, SavedConfig]]
"""Folder and description of each seed of one configuration."""


def group_models(folders: Sequence[Path], baseline: str) -> dict[str, ModelGroup]:
    """Digest of what was trained → its seeds, those of the baseline among them.

    Args:
        folders: Models, or folders of seeds.
        baseline: ``popularity``, or a folder of one configuration.

    Raises:
        UsageError: If no folder is given, the baseline is no folder of one configuration, or only one of the
            seeds of a configuration that is compared as well, a model is given twice, or one whose training
            was interrupted would be averaged with others.
        StoreError: If a folder holds no model, or the models were fitted on several releases.
    """
    if not folders:
        raise UsageError("name at least one folder of a trained model.")
    chosen = [*folders, *([] if baseline == POPULARITY else [_baseline_folder(baseline)])]
    groups: dict[str, ModelGroup] = {}
    for path in dict.fromkeys(path.resolve() for folder in chosen for path in find_folders(folder)):
        info = read_config(path)
        groups.setdefault(info.config_digest, []).append((path, info))
    _require_one_release(groups)
    for group in groups.values():
        _require_no_copies(group)
    if baseline != POPULARITY:
        _require_comparable(groups, folders, Path(baseline))
    for group in groups.values():
        _require_finished(group)
    return groups


def baseline_name(groups: Mapping[str, ModelGroup], baseline: str) -> str:
    """What the baseline's result is called."""
    return POPULARITY if baseline == POPULARITY else group_names(groups)[_digest(Path(baseline))]


def group_names(groups: Mapping[str, ModelGroup]) -> dict[str, str]:
    """Digest → label; a trained popularity model is told from the control."""
    labels = model_labels([group[0][1] for group in groups.values()])
    taken = {POPULARITY: f"{POPULARITY} (trained)"}
    return {key: taken.get(label, label) for key, label in zip(groups, labels, strict=True)}


def _baseline_folder(name: str) -> Path:
    folder = Path(name)
    if not folder.is_dir():
        raise UsageError(
            f"the baseline {name!r} is neither {POPULARITY} nor a folder of a trained model.",
            hint="Name the folder that featurestore train saved it in.",
        )
    digests = {read_config(path).config_digest for path in find_folders(folder)}
    if len(digests) > 1:
        raise UsageError(
            f"the baseline {name} holds {len(digests)} different models; name the folder of one."
        )
    return folder


def _digest(baseline: Path) -> str:
    return read_config(find_folders(baseline)[0]).config_digest


def _require_one_release(groups: Mapping[str, ModelGroup]) -> None:
    fitted_on: dict[int, tuple[Path, SavedConfig]] = {}
    for path, info in (pair for group in groups.values() for pair in group):
        fitted_on.setdefault(info.binding.release, (path, info))
    if len(fitted_on) > 1:
        found = [
            f"the {info.model} in {path} on release {info.binding.release}"
            for path, info in fitted_on.values()
        ]
        raise StoreError(
            f"models of one release are compared, and these were fitted on several: {'; '.join(found)}.",
            hint="Compare those of each release on their own, or train again on one release.",
        )


def _require_no_copies(group: ModelGroup) -> None:
    of_seed: defaultdict[int, list[str]] = defaultdict(list)
    for path, info in group:
        of_seed[info.seed].append(str(path))
    for seed, paths in of_seed.items():
        if len(paths) > 1:
            raise UsageError(
                f"{' and '.join(paths)} hold the same model: {group[0][1].model} of one configuration and of "
                f"seed {seed}. A seed counts once.",
                hint="Name one of them, or train another seed with --seed.",
            )


def _require_comparable(groups: Mapping[str, ModelGroup], folders: Sequence[Path], baseline: Path) -> None:
    """Refuse a baseline that would be averaged with a compared model instead of being held against it."""
    own = {path.resolve() for path in find_folders(baseline)}
    others = [str(path) for path, _ in groups[_digest(baseline)] if path not in own]
    if others and baseline.resolve() not in {folder.resolve() for folder in folders}:
        raise UsageError(
            f"the baseline {baseline} and {' and '.join(others)} are seeds of one configuration. Seeds are "
            "one result, so nothing would be compared.",
            hint="Name as the baseline a model of another configuration, or the folder of all these seeds.",
        )


def _require_finished(group: ModelGroup) -> None:
    stopped = [str(path) for path, info in group if info.interrupted]
    if stopped and len(group) > 1:
        are = "is an interrupted model" if len(stopped) == 1 else "are interrupted models"
        raise UsageError(
            f"{' and '.join(stopped)} {are}, not to be averaged with others of the same configuration.",
            hint="Finish its training: the same command with --resume goes on with it. Or name the finished "
            "ones alone, or the interrupted one alone.",
        )
