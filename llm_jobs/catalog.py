"""Find prompts by name: a project's own files first, then those that come with the package."""

from importlib.resources import files
from pathlib import Path
from typing import Literal, TypeAlias

from featurestore.errors import ConfigError, UnknownNameError, UsageError
from llm_jobs.prompt import Prompt, load_prompt

Origin: TypeAlias = Literal["project", "package"]

_PACKAGE = "prompts"
_SUFFIX = ".toml"
_NEW_HINT = "`featurestore prompts new NAME --from item_cot` starts one of your own."


def find_prompt(name: str, project_folder: Path | None) -> Prompt:
    """The prompt ``name``.

    Args:
        name: The file's name without ``.toml``.
        project_folder: The project's folder, whose ``prompts/`` comes first; None for packaged prompts only.

    Raises:
        UnknownNameError: Listing the prompts there are.
        ConfigError: Listing the problems of the file.
    """
    return load_prompt(prompt_path(name, project_folder)[0])


def prompt_path(name: str, project_folder: Path | None) -> tuple[Path, Origin]:
    """The file that ``name`` stands for, and where it lies.

    Raises:
        UnknownNameError: Listing the prompts there are.
    """
    paths = _paths(project_folder)
    if name not in paths:
        raise UnknownNameError("prompt", name, list(paths), hint=_NEW_HINT)
    return paths[name]


def prompt_names(project_folder: Path | None) -> list[str]:
    """Names of all prompt files, usable or not, sorted."""
    return list(_paths(project_folder))


def list_prompts(project_folder: Path | None) -> list[tuple[Prompt, Origin]]:
    """Every prompt that can be used, by name, with its origin.

    Raises:
        ConfigError: Listing the problems of the first file that is no usable prompt.
    """
    return [(load_prompt(path), origin) for path, origin in _paths(project_folder).values()]


def copy_prompt(name: str, source: str, project_folder: Path) -> Path:
    """Copy a prompt into the project, under a new name, to be edited there.

    Args:
        name: The new prompt's name.
        source: The prompt to start from.
        project_folder: The project's folder.

    Returns:
        The new file.

    Raises:
        UsageError: If the project has a prompt of that name, or the name cannot be a file's.
        UnknownNameError: If there is no prompt ``source``.
    """
    if not name.replace("-", "_").isidentifier() or not name.isascii():
        raise UsageError(
            f"{name!r} cannot be a prompt's name.",
            hint="Use letters, digits, '_' and '-', beginning with a letter.",
        )
    origin, _ = prompt_path(source, project_folder)
    target = project_folder / "prompts" / f"{name}{_SUFFIX}"
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(origin.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UsageError(
            f"{target} exists already; it was left as it is.", hint="Choose another name, or edit that file."
        ) from None
    return target


def _paths(project_folder: Path | None) -> dict[str, tuple[Path, Origin]]:
    packaged = _packaged_folder()
    paths: dict[str, tuple[Path, Origin]] = {path.stem: (path, "package") for path in _toml_files(packaged)}
    own = project_folder / "prompts" if project_folder is not None else packaged
    if own.resolve() != packaged.resolve():
        paths |= {path.stem: (path, "project") for path in _toml_files(own)}
    return {name: paths[name] for name in sorted(paths)}


def _toml_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"*{_SUFFIX}") if path.is_file())


def _packaged_folder() -> Path:
    folder = Path(str(files(_PACKAGE)))
    if not folder.is_dir():
        raise ConfigError(
            f"the packaged prompts are not a folder of their own: {folder}.",
            hint="Install the package unzipped: pip does so.",
        )
    return folder
