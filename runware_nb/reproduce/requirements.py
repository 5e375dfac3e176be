"""What a notebook imports: names and versions, as files that pip reads."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["imported_modules", "lock_text", "requirements_text"]

_PYTHON_MAGICS = frozenset({"time", "timeit", "capture", "prun"})
_MAGIC_LINE = re.compile(r"^(\s*)(?:[\w.,\s]+=\s*)?[%!?].*$|^(\s*)\S+\?{1,2}\s*$")
_IMPORT_LINE = re.compile(r"^\s*((?:import|from)\s.+)$")
_LOADED = re.compile(r"^\s*%(?:load_ext|reload_ext)\s+([A-Za-z_]\w*)", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_OURS = "runware-nb"


def imported_modules(notebook: Mapping[str, Any]) -> list[str]:
    """Return the top-level modules outside the standard library that the code cells of a notebook import."""
    modules: set[str] = set()
    for cell in notebook.get("cells", []):
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source") or ""
            modules |= _imports("".join(map(str, source)) if isinstance(source, list) else str(source))
    return sorted(modules - set(sys.stdlib_module_names) - {"__main__"})


def _imports(source: str) -> set[str]:
    modules = set(_LOADED.findall(source))
    magic = re.match(r"\s*%%(\w+)[^\n]*\n?", source)
    if magic is not None:
        if magic[1] not in _PYTHON_MAGICS:
            return modules  # another language, or a prompt
        source = source[magic.end() :]
    lines = [_MAGIC_LINE.sub(r"\1pass", line) if _is_magic(line) else line for line in source.splitlines()]
    try:
        return modules | _of_tree(ast.parse("\n".join(lines)))
    except (SyntaxError, ValueError, RecursionError):
        pass  # a cell that does not run as it stands; its plain import lines still say what it needs
    for line in lines:
        match = _IMPORT_LINE.match(line)
        if match is not None:
            try:
                modules |= _of_tree(ast.parse(match[1]))
            except (SyntaxError, ValueError):
                continue
    return modules


def _is_magic(line: str) -> bool:
    return _MAGIC_LINE.match(line) is not None


def _of_tree(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def requirements_text(modules: Iterable[str], *, extra: Iterable[str] = ()) -> tuple[str, tuple[str, ...]]:
    """Format `requirements.txt`: the distributions that hold these modules, and this package, each pinned.

    Args:
        modules: Top-level modules.
        extra: Names of files that go along, so that a module among them is not missing.

    Returns:
        The text, and the modules that no installed distribution holds: modules of the user's own, most often.
    """
    modules = list(modules)
    holders = _holders(modules)
    own = {name.partition("/")[0].removesuffix(".py") for name in extra}
    missing = tuple(name for name in modules if name not in holders and name not in own)
    names = {_normal(name) for module in modules for name in holders.get(module, ())} | {_OURS}
    lines = [f"# Python {sys.version.split()[0]}", *_pins(names)]
    lines += [f"# not in any installed package: {name}" for name in missing]
    return "\n".join(lines) + "\n", missing


def lock_text(modules: Iterable[str]) -> str:
    """Format the lock file: what `requirements.txt` names and everything that needs, in the versions installed here.

    It is read from what is installed, as `pip freeze` does, without pip or a network; `pip lock` would ask the index.
    """
    modules = list(modules)
    holders = _holders(modules)
    waiting = {_normal(name) for module in modules for name in holders.get(module, ())} | {_OURS}
    names: set[str] = set()
    while waiting:
        name = waiting.pop()
        try:
            needed = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        names.add(name)
        plain = [text for text in needed if "extra ==" not in text]
        waiting |= {_normal(match[0]) for text in plain if (match := _NAME.match(text))} - names
    return "\n".join([f"# Python {sys.version.split()[0]}, {sys.platform}", *_pins(names)]) + "\n"


def _holders(modules: Iterable[str]) -> dict[str, list[str]]:
    """Return the distributions that hold each module; an editable one is known by its name alone."""
    installed = importlib.metadata.packages_distributions()
    holders: dict[str, list[str]] = {}
    for module in modules:
        names = list(installed.get(module, ()))
        if not names:
            try:
                names = [importlib.metadata.distribution(module.replace("_", "-")).metadata["Name"]]
            except importlib.metadata.PackageNotFoundError:
                continue
        holders[module] = names
    return holders


def _pins(names: Iterable[str]) -> list[str]:
    pins = []
    for name in sorted(names):
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            from .. import __version__

            pins += [f"{_OURS}=={__version__}"] if name == _OURS else []
            continue
        pins.append(f"{name}=={found.version}{_origin(found)}")
    return pins


def _origin(found: importlib.metadata.Distribution) -> str:
    """Format a comment for a package that is not from an index. Its URL may hold a password; its path is private."""
    try:
        direct = json.loads(found.read_text("direct_url.json") or "null")
    except ValueError:
        return ""
    if not isinstance(direct, dict):
        return ""
    url = str(direct.get("url", ""))
    if url.startswith("file:"):
        return "  # installed from a local folder"
    return f"  # installed from {re.sub(r'//[^/@]*@', '//', url).partition('?')[0].partition('#')[0]}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
