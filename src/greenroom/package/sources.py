"""Check the Python in a package, none of which is run: that it compiles, and that entry or handler can be called.

A tree may be as deep as a stranger likes: nothing here walks one by recursion, and each node is looked at once.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import PurePosixPath

from greenroom.package.apart import At
from greenroom.package.archive import Archive, Entry
from greenroom.package.errors import PackageError
from greenroom.package.metadata import Metadata
from greenroom.package.paths import shown
from greenroom.package.runtime_modules import LOADED, SDK_MODULES

MAX_SOURCE_BYTES = 512 * 1024
"""CPython takes up to 800 bytes of memory to parse one byte of source."""

MAX_SOURCES_BYTES = 4 * 1024 * 1024
"""All of the algorithm's own modules: parsing them takes a fraction of the register function's time."""

PLAIN = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Expr, ast.Pass)
"""The statements in a class's body that leave no doubt about the names of its methods."""

RESERVED = "aws_equipment"
"""A package's own files come before the layer's on Python's path, so this name would hide the layer."""

DIST_INFO = re.compile(r"\.dist-info$")
"""The folder that pip leaves of each library: https://packaging.python.org/en/latest/specifications/recording-installed-packages/"""

BYTECODE = (".pyc", ".pyo")
COMPILED = (*BYTECODE, ".so", ".pyd")

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def check_sources(archive: Archive, entries: list[Entry], metadata: Metadata, at: At) -> None:
    """Check the algorithm's own modules, and that entry or handler is in one of them. Raises PackageError."""
    if metadata.entry is not None:
        target, _, wanted = metadata.entry.partition(":")
    else:
        target, _, wanted = (metadata.handler or "").rpartition(".")
    module_path = _module_path(archive, target)
    _refuse_loaded_names(entries)
    top = module_path.partition("/")[0]
    total = 0
    for entry in entries:
        parts = PurePosixPath(entry.path).parts
        own = len(parts) == 1 or parts[0] == top
        _refuse_stand_in(archive, entry.path, own=own)
        if not entry.path.endswith(".py") or not own:
            continue
        total += entry.size_bytes
        if total > MAX_SOURCES_BYTES:
            raise PackageError(
                code="too_large",
                where=shown(entry.path),
                fault=f"makes the algorithm's own modules larger than {MAX_SOURCES_BYTES:,} bytes",
                hint="Put generated tables into data files, and dependencies into requirements.txt.",
            )
        at(entry.path)
        tree = _compile(archive, entry.path, metadata.runtime)
        if entry.path == module_path and tree is not None:
            _require_name(tree, module_path, wanted, is_class=metadata.entry is not None)


def _refuse_loaded_names(entries: list[Entry]) -> None:
    """Refuse a module at the top whose name is one that Lambda has loaded, unless it is that library itself."""
    paths = [entry.path.split("/") for entry in entries]
    installed = {
        re.sub("[-_.]+", "-", parts[0].partition("-")[0]).lower() for parts in paths if DIST_INFO.search(parts[0])
    }
    brought = installed | {SDK_MODULES[name] for name in installed & set(SDK_MODULES)}
    for parts in paths:
        name = parts[0].partition(".")[0] if len(parts) == 1 else parts[0]
        if len(parts) <= 2 and parts[-1].endswith((".py", *COMPILED)) and name in LOADED - brought:
            raise PackageError(
                code="module_taken",
                where=shown("/".join(parts)),
                fault=f"can't be used: Lambda has loaded its own module {name!r} before",
                hint="Give it another name. If it is the library of that name, name it in requirements.txt.",
            )


def _refuse_stand_in(archive: Archive, path: str, *, own: bool) -> None:
    """Refuse what Python would load in place of a source that is checked here, or of the layer."""
    parts = path.split("/")
    if parts[0].partition(".")[0].casefold() == RESERVED:
        raise PackageError(
            code="reserved",
            where=shown(path),
            fault=f"would hide the layer {RESERVED}",
            hint="Leave it out: Lambda gets it from the layer. If it is your own module, rename it.",
        )
    bytecode = path.endswith(BYTECODE)
    # Bytecode says itself whether it is compared with its source, so it can be that of another one.
    source = f"{path.removesuffix(parts[-1])}{parts[-1].partition('.')[0]}.py"
    if "__pycache__" in parts or (bytecode and (own or source in archive)):
        raise PackageError(
            code="bytecode",
            where=shown(path),
            fault="is bytecode, which Python could run in place of the source that was checked",
            hint="Leave it out: `greenroom pack` does. Lambda compiles the sources itself.",
        )
    if own and path.endswith(COMPILED) and source in archive:
        raise PackageError(
            code="shadowed",
            where=shown(path),
            fault=f"would be loaded in place of {shown(source)}, which is the one that is checked",
            hint="Keep one of the two, or move them into a package of their own.",
        )


def _module_path(archive: Archive, module: str) -> str:
    path = module.replace(".", "/")
    # A folder with __init__.py is found before a file of the same name, as in Python's own finder.
    for candidate in (f"{path}/__init__.py", f"{path}.py"):
        if candidate in archive:
            return candidate
    raise PackageError(
        code="no_module",
        where="metadata.json, field entry or handler",
        fault=f"names the module {module!r}, but the ZIP has no {path}.py",
        hint="Name a module that is in the package.",
    )


def _compile(archive: Archive, path: str, runtime: str) -> ast.Module | None:
    """Compile a module without running it. Return its tree, or None where only a newer Python can read it."""
    source = archive.read(path, MAX_SOURCE_BYTES)
    minor = int(runtime.rpartition(".")[2])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, filename=path, feature_version=(3, min(minor, sys.version_info.minor)))
            # The compiler refuses more than the parser does, such as a return outside of a function.
            try:
                compile(_distinct(tree), path, "exec", dont_inherit=True)
            except RecursionError:
                # A tree from Python goes less deep than one that the compiler parses itself.
                compile(source, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        if minor > sys.version_info.minor and not isinstance(error, IndentationError):
            return None
        line = f", line {error.lineno}" if error.lineno else ""
        what = f"is not valid Python {runtime.removeprefix('python')}: {error.msg}"
        raise PackageError(
            code="syntax", where=f"{shown(path)}{line}", fault=what, hint="Correct the syntax."
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        what = f"can't be parsed ({type(error).__name__}: {error})"
        raise PackageError(code="syntax", where=shown(path), fault=what, hint="Simplify it.") from None
    return tree


def _distinct(tree: ast.Module) -> ast.Module:
    """Give each function, class and comprehension of a tree a constant of its own.

    CPython 3.11 leaves a code object's place out of its hash (code_hash in its Objects/codeobject.c), so it compares
    each one with all that have the same content: half a megabyte of `def f():pass` took it 43 s.
    """
    for number, node in enumerate(ast.walk(tree)):
        mark = ast.Constant(f"{number}", lineno=1, col_offset=0, end_lineno=1, end_col_offset=0)
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                node.body.insert(0, ast.Expr(mark, lineno=1, col_offset=0, end_lineno=1, end_col_offset=0))
            case ast.Lambda():
                node.body = _marked(mark, node.body)
            case ast.GeneratorExp() | ast.ListComp() | ast.SetComp():
                node.elt = _marked(mark, node.elt)
            case ast.DictComp():
                node.value = _marked(mark, node.value)
    return tree


def _marked(mark: ast.Constant, value: ast.expr) -> ast.expr:
    return ast.copy_location(ast.Tuple([mark, value], ast.Load()), value)


def _require_name(tree: ast.Module, path: str, wanted: str, *, is_class: bool) -> None:
    """Refuse an entry or handler that is certainly missing or can't be called. Imported names are accepted."""
    found: ast.stmt | None = None
    for node in _module_level(tree):
        match node:
            case ast.ClassDef(name="__getattr__") | ast.FunctionDef(name="__getattr__"):
                return
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef() if node.name == wanted:
                found = node
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                if any(wanted == (each.asname or each.name.partition(".")[0]) or each.name == "*" for each in names):
                    return
            case ast.Name(id=name, ctx=ast.Store()) | ast.MatchAs(name=name) | ast.MatchStar(name=name) if (
                name == wanted
            ):
                return
            case ast.MatchMapping(rest=name) if name == wanted:
                return
    if found is None:
        kind = "class" if is_class else "function"
        what = f"has no {kind} {wanted!r} at its top level, but metadata.json names it"
        raise PackageError(code="no_entry", where=shown(path), fault=what, hint="Correct the name in metadata.json.")
    if is_class:
        _require_algorithm(found, path, wanted)
    else:
        _require_callable(found, f"{shown(path)}, function {wanted}", ("event", "context"))


def _module_level(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes that run when a module is imported, in their order: not those in functions and classes."""
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        yield node
        if not isinstance(node, Definition):
            left.extend(reversed(list(ast.iter_child_nodes(node))))


def _require_algorithm(node: ast.stmt, path: str, wanted: str) -> None:
    where = f"{shown(path)}, class {wanted}"
    if not isinstance(node, ast.ClassDef):
        raise PackageError(
            code="no_entry",
            where=where,
            fault="is a function; a class is needed",
            hint="Name a class as entry, or the function as handler.",
        )
    if node.decorator_list or node.bases or node.keywords:
        return
    methods = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    if (init := methods.get("__init__")) is not None:
        _require_callable(init, f"{where}, __init__", ("self",))
    if (translate := methods.get("translate")) is not None:
        _require_callable(translate, f"{where}, translate", ("self", "document"))
    elif all(isinstance(each, PLAIN) for each in node.body):
        hint = "Add `def translate(self, document)`."
        raise PackageError(code="no_translate", where=where, fault="has no method translate", hint=hint)


def _require_callable(node: ast.stmt, where: str, given: tuple[str, ...]) -> None:
    """Refuse a function that can't be called with `given`. One with a decorator is accepted: it may change that."""
    hint = f"Greenroom calls it as {node.name if hasattr(node, 'name') else ''}({', '.join(given)})."
    if isinstance(node, ast.AsyncFunctionDef) and not node.decorator_list:
        raise PackageError(code="not_callable", where=where, fault="is async, but nothing awaits it", hint=hint)
    if not isinstance(node, ast.FunctionDef) or node.decorator_list:
        return
    arguments = node.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    needed = positional - len(arguments.defaults)
    keywords = [each.arg for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if not value]
    if needed > len(given) or (positional < len(given) and arguments.vararg is None) or keywords:
        raise PackageError(code="not_callable", where=where, fault=f"takes ({shown(_signature(arguments))})", hint=hint)


def _signature(arguments: ast.arguments) -> str:
    """Return the names of a function's parameters, as in its source but without what they default to."""
    plain = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    first_default = len(plain) - len(arguments.defaults)
    shown_ones = [f"{name}=..." if at >= first_default else name for at, name in enumerate(plain)]
    if arguments.vararg is not None:
        shown_ones.append(f"*{arguments.vararg.arg}")
    elif arguments.kwonlyargs:
        shown_ones.append("*")
    for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        shown_ones.append(each.arg if value is None else f"{each.arg}=...")
    if arguments.kwarg is not None:
        shown_ones.append(f"**{arguments.kwarg.arg}")
    return ", ".join(shown_ones)
