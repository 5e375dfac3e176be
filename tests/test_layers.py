"""Imports go one way: each package only from the packages above it in the list of docs/architecture.md."""

import ast
import functools
import re
from pathlib import Path

import pytest

import runware_nb
from runware_nb.core.operations import OPERATIONS
from runware_nb.providers.runware.operations import BINDINGS, UTILITIES

PACKAGE = Path(runware_nb.__file__).parent
PAGE = PACKAGE.parent / "docs/architecture.md"
LAYERS = [
    "printable", "reprs", "remedies", "errors", "forking", "interrupts", "loading", "loop", "core", "settings", "net",
    "media", "providers", "present", "runlog", "engine", "session", "reproduce", "curation", "commands",
    {"notebook", "cli"},
]  # fmt: skip
INDEPENDENT = {"sandbox"}
"""Neither side imports the other: the sandbox is evidence only as long as it shares no code with what it tests."""
ENTRY_POINTS = {"__init__", "__main__", "moved"}
"""They load every layer late, under the public names."""
STILL_CYCLIC = {"providers.runware.catalog", "notebook.forms", "sandbox.runware"}
"""Packages whose modules import each other in a circle. No package may be added."""
ONLY_IMPORTER = {"httpx": "net/http.py", "websockets": "net/websocket.py", "h11": "net/server.py"}
FRONTS_OF_PROVIDERS = {
    "api": "commands", "commands": "commands", "options": "commands", "magics": "notebook", "forms": "notebook",
}  # fmt: skip
"""Modules in the package of a provider that belong to a layer above it. They are loaded late, by name."""
FILES = sorted(PACKAGE.rglob("*.py"))


def level(package):
    return next(
        (n for n, layer in enumerate(LAYERS) if package == layer or (isinstance(layer, set) and package in layer)), None
    )


def layer_of(parts):
    """Return the package whose layer a module belongs to, from the parts of its dotted name."""
    is_front = len(parts) >= 3 and parts[0] == "providers" and parts[2] in FRONTS_OF_PROVIDERS
    return FRONTS_OF_PROVIDERS[parts[2]] if is_front else parts[0]


def package_of(path):
    return layer_of(path.relative_to(PACKAGE).with_suffix("").parts)


def module_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text())


def imports_in(path):
    """Yield every module imported anywhere in a file, inside functions and for type checking too, by dotted name."""
    here = ("runware_nb", *path.relative_to(PACKAGE).parts)
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: -node.level] if node.level else ()
            module = ".".join((*base, *(node.module.split(".") if node.module else ())))
            for alias in node.names:
                name = f"{module}.{alias.name}"
                yield name if name.removeprefix("runware_nb.") in MODULES else module


@functools.cache
def imports_of(path):
    return tuple(imports_in(path))


def test_the_engine_knows_no_service():
    """What a service can do is stated by its provider, and the engine decides from that."""
    allowed = {"runware_nb.providers.base", "runware_nb.providers.attempts"}
    for path in (PACKAGE / "engine").glob("*.py"):
        imported = {name for name in imports_of(path) if name.startswith("runware_nb.providers")}
        assert {".".join(name.split(".")[:3]) for name in imported} <= allowed, path


def test_every_package_has_a_layer():
    listed = {name for layer in LAYERS for name in ({layer} if isinstance(layer, str) else layer)}
    assert {package_of(path) for path in FILES} - ENTRY_POINTS - INDEPENDENT == listed


def test_imports_go_one_way():
    wrong = []
    for path in FILES:
        package = package_of(path)
        if package in ENTRY_POINTS:
            continue
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] != "runware_nb" or len(parts) == 1:
                continue
            other = layer_of(parts[1:])
            if package in INDEPENDENT or other in INDEPENDENT:
                allowed = other == package
            elif other == package or level(other) is None:  # a name of the package itself, such as __version__
                allowed = True
            else:
                allowed = level(other) < level(package)
            if not allowed:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert wrong == []


def test_the_commands_and_magics_of_a_provider_are_front_ends():
    assert layer_of(("providers", "trial", "commands")) == "commands"
    assert layer_of(("providers", "trial", "magics")) == layer_of(("providers", "trial", "forms")) == "notebook"
    assert layer_of(("providers", "trial", "provider")) == layer_of(("providers", "runware", "catalog", "forms"))


def parent_of(module):
    return module.rpartition(".")[0]


def cycles_of(graph):
    """Return the groups of modules that import each other, by Tarjan's algorithm."""
    index, low, stack, cycles = {}, {}, [], []

    def visit(module):
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in graph[module]:
            if other not in index:
                visit(other)
            if other in stack:
                low[module] = min(low[module], low[other])
        if low[module] == index[module]:
            cycle = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(cycle) > 1:
                cycles.append(sorted(cycle))

    for module in graph:
        if module not in index:
            visit(module)
    return cycles


def test_cycles_are_found():
    assert cycles_of({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["a"]}) == [["b", "c"]]


def test_modules_do_not_import_each_other_in_a_circle():
    graph = {
        module: {name.removeprefix("runware_nb.") for name in imports_of(path)} & set(MODULES) - {"", module}
        for module, path in MODULES.items()
        if module
    }
    cycles = cycles_of(graph)
    assert [cycle for cycle in cycles if not {parent_of(module) for module in cycle} <= STILL_CYCLIC] == []
    # An entry whose cycle has gone is deleted, so that it cannot come back.
    assert {parent_of(module) for cycle in cycles for module in cycle} == STILL_CYCLIC


@pytest.mark.parametrize("library", ONLY_IMPORTER)
def test_each_network_library_has_one_importer(library):
    users = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if package_of(path) not in INDEPENDENT and any(name.split(".")[0] == library for name in imports_of(path))
    }
    assert users == {ONLY_IMPORTER[library]}


def test_core_does_no_io_and_has_no_clock():
    banned = {"time", "datetime", "random", "secrets", "socket", "os", "asyncio", "threading", "subprocess", "io"}
    for path in (PACKAGE / "core").glob("*.py"):
        assert not {name.split(".")[0] for name in imports_of(path)} & banned, path


def test_core_names_no_task_type_of_a_service():
    """A rule of `core` that knows a task type decides for one service, and wrongly for the others."""
    operations = {operation.name for operation in OPERATIONS}  # some of ours are called as Runware calls them
    task_types = {name for binding in BINDINGS for name in (binding.task_type, *binding.older_names)}
    names = (task_types | UTILITIES) - operations - {"photoMaker"}  # also a field of requests, which holds media
    assert {"imageInference", "getResponse", "removeBackground"} <= names
    for path in (PACKAGE / "core").glob("*.py"):
        constants = {node.value for node in ast.walk(tree_of(path)) if isinstance(node, ast.Constant)}
        assert not constants & names, path


def test_providers_and_the_log_do_not_import_each_other():
    for path in FILES:
        other = {"runlog": "providers", "providers": "runlog"}.get(package_of(path))
        assert other is None or not [name for name in imports_of(path) if name.startswith(f"runware_nb.{other}")], path


def test_only_settings_reads_the_environment():
    readers = {
        package_of(path)
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }
    assert readers == {"settings"}


def test_nothing_is_called_utils():
    assert not [path for path in FILES if path.stem in {"utils", "helpers", "common", "misc"}]


def test_only_one_module_makes_locks_and_pools_of_threads():
    """A bare lock or pool hangs a forked child if a thread of the parent held it: `forking` has ones that do not."""
    bare = {"Lock", "RLock", "ThreadPoolExecutor", "register_at_fork"}
    users = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if package_of(path) not in INDEPENDENT
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and node.attr in bare
        and isinstance(node.value, ast.Name | ast.Attribute)
        and (node.value.id if isinstance(node.value, ast.Name) else node.value.attr) in {"threading", "futures", "os"}
    }
    assert users == {"forking.py"}


def test_the_page_lists_the_layers_in_their_order():
    listed = re.findall(r"^\| `([^|]+)` \|", PAGE.read_text(), re.MULTILINE)
    order = [name.strip("`") for row in listed for name in re.split(r"`?, `", row)]
    expected = [
        name for layer in LAYERS for name in ([layer] if isinstance(layer, str) else sorted(layer, reverse=True))
    ]
    assert order == [*expected, *INDEPENDENT]


def test_every_file_that_the_page_names_exists():
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", PAGE.read_text()))
    assert len(named) > 15
    root = PACKAGE.parent
    missing = [name for name in named if not (PACKAGE / name).exists() and not (root / name).exists()]
    assert missing == []


def texts_of(tree):
    """Return the string constants of a module, also the parts of f-strings, without docstrings and other bare texts."""
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node


BELOW_COMMANDS = [
    path
    for path in FILES
    if package_of(path) not in ENTRY_POINTS | INDEPENDENT and level(package_of(path)) < level("commands")
]
LINE_OF_A_FRONT_END = re.compile(r"%runware\b|\brunware-nb (?!runware-nb)[a-z]|(^|[\s`])--[a-z]")
NOT_A_MESSAGE = {
    "core/operations.py": "the table that the options of lines are built from",
    "reproduce/bundle.py": "the README of a bundle, which explains the terminal to readers who have not installed this",
    "reproduce/notebook_runs.py": "it looks for magics in the cells of a notebook",
    "session/local_sandbox.py": "the command line of the child process",
}


def test_messages_below_the_commands_are_in_the_syntax_of_no_front_end():
    """A terminal or a script would be told to type what it does not have: these layers use `Remedy`."""
    found = {
        f"{path.relative_to(PACKAGE).as_posix()}:{text.lineno}"
        for path in BELOW_COMMANDS
        for text in texts_of(tree_of(path))
        if LINE_OF_A_FRONT_END.search(text.value)
    }
    assert {place for place in found if place.partition(":")[0] not in NOT_A_MESSAGE} == set()
    assert {place.partition(":")[0] for place in found} == set(NOT_A_MESSAGE)


def test_magics_are_written_by_the_notebook_only():
    """The same commands run in a terminal, where a magic cannot be typed."""
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        if package_of(path) != "notebook"
        for text in texts_of(tree_of(path))
        if re.search(r"(?<!%)%runware\b", text.value)
    }
    assert found == {"commands/as_cell.py", "reproduce/notebook_runs.py"}


def test_the_engine_and_the_commands_use_the_front_end_of_their_session():
    """A session in a test, or a second one in a process, would ask and show where its user is not."""
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        if package_of(path) != "notebook"  # its widgets are in the front end of the process
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and node.id == "current_front_end"
    }
    assert users == {
        "engine/display.py",  # results draw themselves without a session
        "session/session.py",  # the default of a session
    }


def test_only_commands_and_front_ends_speak_of_wrong_lines():
    """Python callers have arguments and not lines, so that lower layers raise ArgumentInvalid or another error."""
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in BELOW_COMMANDS
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Name) and node.id == "MagicUsageError"
    }
    assert users == {"errors.py"}  # its definition
