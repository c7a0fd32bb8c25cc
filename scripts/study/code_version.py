"""The version of the code that a result depends on: a digest of syntax trees, not of text.

A comment, a docstring, a setting's description, another line length or another file for the same definition
must not make a day of computing due, nor may a new loss that other models use; a changed formula must. So a
version covers the definitions that a model's file reaches, and those that every run goes through, without
positions, without strings that nothing reads, and without what the settings of a run keep it from.
"""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from featurestore.ids import canonical_json, digest
from recommender.registry import find_model, parse_settings
from scripts.study.definitions import Place, reached, read_module
from scripts.study.runs import Run

ROOT: Final = Path(__file__).resolve().parents[2]
PROTOCOL: Final = 2
"""Raised by hand when `study.execute` changes what is computed."""
PATH: Final[tuple[Place, ...]] = (
    ("recommender.data", "load_training_data"),
    ("recommender.features", "entity_features"),
    ("recommender.evaluation.tasks", "load_task"),
    ("recommender.evaluation.tasks", "scorer"),
    ("recommender.evaluate", "evaluate_ranking"),
    ("recommender.evaluate", "rank_held_out"),
)
"""What every run goes through besides its model."""
FUSIONS: Final[Mapping[str, Place]] = {
    "concat": ("recommender.text.layer_zero", "_Concat"),
    "gate": ("recommender.text.layer_zero", "_Gate"),
}
"""Value of the setting ``fusion`` → what only runs with it, and with vectors, compute with."""
_NOT_COMPUTING: Final = "SPACE"
"""What a search may try; a run's settings are given."""
_UNREAD_FIELDS: Final = {"ctx", "kind", "type_comment", "type_params", "type_ignores"}


def run_version(run: Run) -> str:
    """The version of everything that a run computes with.

    Raises:
        LookupError: If its model, or a place that every run goes through, does not exist.
    """
    return code_version(run.model, unread=_unread(run))


@cache
def code_version(
    model: str,
    root: Path = ROOT,
    path: tuple[Place, ...] = PATH,
    unread: frozenset[Place] = frozenset(),
) -> str:
    """The version of everything that a model can compute with.

    Args:
        model: A file in ``recommender/models``.
        root: The checkout.
        path: What every run goes through.
        unread: Definitions that are left out.

    Raises:
        LookupError: If the model, or a place of the path or of ``unread``, does not exist.
    """
    file = f"recommender.models.{model}"
    own = [(file, name) for name in read_module(root, file).definitions if name != _NOT_COMPUTING]
    found = reached(root, (*own, *path), without=unread)
    trees = (_written(root, module, name) for module, name in found)
    return digest([PROTOCOL, sorted(tree for tree in trees if tree is not None)])


@cache
def _written(root: Path, module: str, name: str) -> str | None:
    """The tree of a definition, or with the name ``""`` of what defines nothing; None if it is empty.

    A module that states nothing but what it is for leaves no tree: splitting a file makes nothing due.
    """
    read = read_module(root, module)
    tree = _plain(list(read.definitions[name] if name else read.effects))
    return canonical_json([name, tree]) if tree else None


def _unread(run: Run) -> frozenset[Place]:
    """Fusions that the run does not have: a change of theirs is none of its own."""
    fusions = set() if run.form == "plain" else _fusions(run.model, run.settings.get("fusion"))
    return frozenset(place for name, place in FUSIONS.items() if name not in fusions)


@cache
def _fusions(model: str, given: str | None) -> frozenset[str]:
    """The fusion that a run has; all of them if the model cannot be imported, its default unknown."""
    try:
        default = getattr(parse_settings(find_model(model).config_type, {}), "fusion", "none")
    except Exception:  # noqa: BLE001 - a model under development must not keep other models' runs from listing
        return frozenset(FUSIONS)
    return frozenset({given or default})


def _plain(node: object) -> object:
    """A tree as lists; versions of Python differ in fields that are empty, so these are left out."""
    match node:
        case ast.AST():
            fields = [[name, _plain(value)] for name, value in ast.iter_fields(node) if _is_read(name, value)]
            return [type(node).__name__, *fields]
        case list():
            return [_plain(each) for each in node if not _is_unread(each)]
        case _:
            return repr(node)


def _is_read(name: str, value: object) -> bool:
    return name not in _UNREAD_FIELDS and value is not None and value != []


def _is_unread(node: object) -> bool:
    """A docstring (of a module, a function, an attribute), or the description of a setting."""
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.keyword(arg="description"):
            return True
        case _:
            return False
