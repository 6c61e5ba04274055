"""Which settings a function of the platform reads, from its code alone: what its handler can reach is searched.

Reached is what a reached body names: functions and constants of its module or of an imported one, and of a class that
is named anywhere reached, the methods that a reached body names. That is a little more than what really runs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

PACKAGE = "greenroom.platform"
ROOM = Path(str(resources.files(PACKAGE)))


@dataclass
class Module:
    """A module's own names: its functions and constants, the methods of its classes, and what it imports."""

    bodies: dict[str, ast.AST] = field(default_factory=dict)
    methods: dict[str, dict[str, ast.AST]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)


def settings_read_by(handler: str) -> set[str]:
    """Return the settings, as environment variables, that can be read from the handler module `handler` on.

    A package of handlers is read as a whole, since its functions are registered by decorators.
    """
    modules = _modules()
    roots = [name for name in modules if name == handler or name.startswith(f"{handler}.")]
    waiting = [(name, body) for root in roots for name, body in _everything(root, modules[root])]
    reached: set[int] = set()
    classes: set[tuple[str, str]] = set()
    attributes: set[str] = set()
    read: set[str] = set()
    while waiting:
        module, body = waiting.pop()
        if id(body) in reached:
            continue
        reached.add(id(body))
        read |= set(_settings_in(body, modules[module]))
        named = {node.attr for node in ast.walk(body) if isinstance(node, ast.Attribute)}
        attributes |= named
        for owner, name in _referenced(module, body):
            if name in modules[owner].bodies:
                waiting.append((owner, modules[owner].bodies[name]))
            if name in modules[owner].methods:
                classes.add((owner, name))
        waiting += [
            (owner, method)
            for owner, class_name in classes
            for name, method in modules[owner].methods[class_name].items()
            if name in attributes or name.startswith("__")
        ]
    return read


@cache
def _modules() -> dict[str, Module]:
    return {_name_of(path): _module(_name_of(path), path) for path in ROOM.rglob("*.py")}


def _name_of(path: Path) -> str:
    parts = path.relative_to(ROOM).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _module(name: str, path: Path) -> Module:
    found = Module()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.bodies[node.name] = node
        elif isinstance(node, ast.ClassDef):
            found.methods[node.name] = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef)}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.bodies |= {target.id: node for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            base = (node.module or "").removeprefix(PACKAGE).removeprefix(".")
            for each in node.names:
                inner = f"{base}.{each.name}" if base else each.name
                is_module = any((ROOM / inner.replace(".", "/")).with_suffix(end).exists() for end in (".py", ""))
                found.imports[each.asname or each.name] = (inner, None) if is_module else (base, each.name)
    return found


def _everything(name: str, module: Module) -> Iterator[tuple[str, ast.AST]]:
    yield from ((name, body) for body in module.bodies.values())
    yield from ((name, method) for methods in module.methods.values() for method in methods.values())


def _referenced(module: str, body: ast.AST) -> Iterator[tuple[str, str]]:
    """The names of modules that a body uses: its own module's, imported ones, and those of imported modules."""
    modules = _modules()
    imports = modules[module].imports
    for node in ast.walk(body):
        if isinstance(node, ast.Name):
            owner, name = imports.get(node.id, (module, node.id))
            if name is not None and owner in modules:
                yield owner, name
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner, name = imports.get(node.value.id, ("", None))
            if name is None and owner in modules:
                yield owner, node.attr


def _settings_in(body: ast.AST, module: Module) -> Iterator[str]:
    for node in ast.walk(body):
        if not isinstance(node, ast.Subscript):
            continue
        looked_in = ast.unparse(node.value)
        if looked_in == "environment":
            yield from (name for name in _texts(node.slice, module) if name.startswith("GREENROOM_"))
        elif looked_in.endswith("settings"):
            yield from (f"GREENROOM_{name}" for name in _texts(node.slice, module))


def _texts(key: ast.AST, module: Module) -> Iterator[str]:
    """The texts that a key may be: it is one, or it is looked up in a constant whose values they are."""
    for node in ast.walk(key):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        for name in (getattr(node, "id", None), getattr(node, "attr", None)):
            for owner in _modules().values() if name and name.isupper() else ():
                constant = owner.bodies.get(name or "")
                table = getattr(constant, "value", None)
                if isinstance(table, ast.Dict):
                    yield from (str(value.value) for value in table.values if isinstance(value, ast.Constant))
