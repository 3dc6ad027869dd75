"""Which operations of AWS can a function's code reach? Names that lead from its handler to `shared/aws`, read without running.

Every name that a reached function, class or value mentions counts as reached, so the answer is never too small. What is
loaded by a text (`importlib`) is not followed; providers are, and none of them may import `shared.aws`.
"""

import ast
import functools
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from layers.build import ROOT
from shared.core.config import Settings

_WORK = "<module>"  # what a module does when it is imported
Symbol = tuple[str, str]


@functools.cache
def operations(module: str, entry: str) -> frozenset[str]:
    """Return the boto3 operations that `entry` of a module can reach."""
    sources = [
        _source(*symbol)
        for symbol in _reached(module, entry)
        if symbol[0].startswith("shared.aws.")
    ]
    return frozenset(operation for source in sources for operation in called_in(source))


@functools.cache
def settings_read(module: str, entry: str) -> frozenset[str]:
    """Return the settings that `entry` of a module can read, whatever name the settings have there."""
    return frozenset(
        found.attr
        for symbol in _reached(module, entry)
        for node in _definitions(symbol[0]).get(symbol[1], ())
        for found in ast.walk(node)
        if isinstance(found, ast.Attribute) and found.attr in Settings.model_fields
    )


def _reached(module: str, entry: str) -> set[Symbol]:
    reached: set[Symbol] = set()
    left: list[Symbol] = [(module, entry)]
    while left:
        symbol = left.pop()
        if symbol not in reached:
            reached.add(symbol)
            left += _mentions(symbol)
    return reached


def called_in(source: str) -> set[str]:
    """Return the operations that a piece of source calls on a client."""
    found = set(re.findall(r"""(?:\bclient\(['"]\w+['"]\)|_client\(\))\.([a-z0-9_]+)\(""", source))
    for name in re.findall(r"""(\w+) = client\(['"]\w+['"]\)\n""", source):
        found |= set(re.findall(rf"\b{name}\.([a-z0-9_]+)\(", source))
    return found


def _source(module: str, name: str) -> str:
    return "\n".join(ast.unparse(node) for node in _definitions(module).get(name, ())) + "\n"


def _mentions(symbol: Symbol) -> Iterator[Symbol]:
    module, name = symbol
    definitions, imported = _definitions(module), _imported(module)
    yield module, _WORK
    for node in definitions.get(name, ()):
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                if inner.id in definitions:
                    yield module, inner.id
                elif inner.id in imported:
                    yield imported[inner.id]
            elif isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
                base = imported.get(inner.value.id)
                if base is not None and base[1] == _WORK:
                    yield base[0], inner.attr
            elif isinstance(inner, ast.ImportFrom | ast.Import):
                yield from _names_of(inner).values()


@functools.cache
def _definitions(module: str) -> dict[str, list[ast.AST]]:
    """Return what stands at the top level of a module, by name."""
    found: dict[str, list[ast.AST]] = {_WORK: []}
    for node in _tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.setdefault(node.name, []).append(node)
            if any(_registers(decorator, found) for decorator in node.decorator_list):
                found[_WORK].append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        found.setdefault(name.id, []).append(node)
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            found[_WORK].append(node)
    return found


def _registers(decorator: ast.expr, defined: Collection[str]) -> bool:
    """Return whether a decorator is a call on something of the same module, as a route's is (`@posts.get("/")`)."""
    called = decorator.func if isinstance(decorator, ast.Call) else None
    return (
        isinstance(called, ast.Attribute)
        and isinstance(called.value, ast.Name)
        and called.value.id in defined
    )


@functools.cache
def _imported(module: str) -> dict[str, Symbol]:
    """Return the names that a module imports from us, and what each of them is."""
    found: dict[str, Symbol] = {}
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= _names_of(node)
    return found


def _names_of(node: ast.Import | ast.ImportFrom) -> dict[str, Symbol]:
    if isinstance(node, ast.Import):
        whole = {alias.asname or alias.name: (alias.name, _WORK) for alias in node.names}
        return {name: symbol for name, symbol in whole.items() if _exists(symbol[0])}
    if node.level or not _exists(node.module or ""):
        return {}
    return {
        alias.asname or alias.name: (f"{node.module}.{alias.name}", _WORK)
        if _exists(f"{node.module}.{alias.name}")
        else (str(node.module), alias.name)
        for alias in node.names
    }


@functools.cache
def _exists(module: str) -> bool:
    return module.split(".")[0] in {"shared", "functions"} and _path(module) is not None


def _path(module: str) -> Path | None:
    place = ROOT.joinpath(*module.split("."))
    found = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in found if path.exists()), None)


@functools.cache
def _tree(module: str) -> ast.Module:
    path = _path(module)
    return ast.parse(path.read_text()) if path else ast.Module(body=[], type_ignores=[])
