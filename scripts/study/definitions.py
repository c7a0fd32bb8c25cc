"""Which definitions of a package are reached from some of them, by reading syntax trees only.

A definition is a function, a class or a name that is assigned at the top of a module. It reaches the names
that it mentions: those of its module, those imported from modules of the same package, and ``module.name``.
"""

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeAlias

Place: TypeAlias = tuple[str, str | None]
"""A module and a name in it; None is everything in it."""


@dataclass(frozen=True, slots=True)
class Module:
    """One file.

    Attributes:
        definitions: Name → the statements that define it.
        effects: Statements at the top that define nothing.
        imports: Name that the file gives to something of the package → what it is.
    """

    definitions: Mapping[str, Sequence[ast.stmt]] = field(default_factory=dict[str, Sequence[ast.stmt]])
    effects: Sequence[ast.stmt] = ()
    imports: Mapping[str, Place] = field(default_factory=dict[str, Place])


def reached(
    root: Path, starts: Iterable[Place], *, without: Collection[Place] = ()
) -> dict[tuple[str, str], Sequence[ast.stmt]]:
    """Everything that some definitions reach, themselves included.

    Args:
        root: Folder of the package's folder.
        starts: Where to begin.
        without: Definitions that are left out, and what only they reach.

    Returns:
        (module, name) → its statements; with the name ``""``, those that define nothing.

    Raises:
        LookupError: If a place to begin at, or to leave out, does not exist.
    """
    found: dict[tuple[str, str], Sequence[ast.stmt]] = {}
    waiting = list(starts)
    for module, name in (*waiting, *without):
        if not _exists(root, module, name):
            raise LookupError(f"there is no {name or 'file'} in {module}")
    while waiting:
        place, name = waiting.pop()
        if (place, name) in without:
            continue
        module = read_module(root, place)
        found[place, ""] = module.effects
        if name is None:
            waiting.extend((place, each) for each in module.definitions)
        elif name in module.imports:
            waiting.append(module.imports[name])
        elif name in module.definitions and (place, name) not in found:
            found[place, name] = module.definitions[name]
            waiting.extend(_mentioned(root, place, name))
    return found


@cache
def read_module(root: Path, name: str) -> Module:
    """A file of the package, taken apart."""
    path = _file(root, name)
    assert path is not None, name
    tree = ast.parse(path.read_text(encoding="utf-8"))
    definitions: dict[str, list[ast.stmt]] = {}
    effects: list[ast.stmt] = []
    for statement in tree.body:
        names = list(_defined(statement))
        for each in names:
            definitions.setdefault(each, []).append(statement)
        if not names and not isinstance(statement, ast.Import | ast.ImportFrom):
            effects.append(statement)
    return Module(definitions, effects, dict(_imports(root, name, tree)))


def _exists(root: Path, module: str, name: str | None) -> bool:
    return _file(root, module) is not None and (name is None or name in read_module(root, module).definitions)


def _defined(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case ast.Assign(targets=targets):
            yield from (n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))
        case _:
            return


def _imports(root: Path, name: str, tree: ast.Module) -> Iterator[tuple[str, Place]]:
    package = name.partition(".")[0]
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or (node.module or "").partition(".")[0] != package:
            continue
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            is_module = _file(root, inner) is not None
            target: Place = (inner, None) if is_module else (str(node.module), alias.name)
            yield alias.asname or alias.name, target


@cache
def _mentioned(root: Path, place: str, name: str) -> frozenset[Place]:
    module = read_module(root, place)
    return frozenset(_names(place, module, module.definitions[name]))


def _names(place: str, module: Module, statements: Sequence[ast.stmt]) -> Iterator[Place]:
    qualified: set[ast.AST] = set()
    for node in (node for statement in statements for node in ast.walk(statement)):
        match node:
            case ast.Attribute(value=ast.Name(id=name) as owner, attr=attribute):
                if name in module.imports and module.imports[name][1] is None:
                    qualified.add(owner)
                    yield module.imports[name][0], attribute
            case ast.Name(id=name) if node not in qualified:
                if name in module.imports or name in module.definitions:
                    yield place, name
            case _:
                continue


def _file(root: Path, name: str) -> Path | None:
    base = root.joinpath(*name.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)
