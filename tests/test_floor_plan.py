"""Imports go one way: each floor only to the floors below it."""

import ast
from pathlib import Path

import runware_nb

PACKAGE = Path(runware_nb.__file__).parent
# `images` and `catalog` lie lower than in the first drawing: a bare client's results decode too, and it puts media
# where the model's schema wants them. `delivery` is what the client grew until it was no longer small.
FLOORS = [
    "printable", "errors", "forking", "interrupts", "loading", "reprs", "core", "wire", "settings", "images", "transport", "catalog", "delivery", "client", "providers",
    "runlog", "view", "loop", "session", "again", "curation", "sweeps", "commands", {"notebook", "cli"},
]  # fmt: skip
APART = {"sandbox"}
HALLS = {"__init__", "__main__"}  # they lead to every floor
ONLY_IMPORTER = {"httpx": "transport/rest.py", "websockets": "transport/websocket.py"}


def level(room):
    return next(
        (n for n, floor in enumerate(FLOORS) if room == floor or (isinstance(floor, set) and room in floor)), None
    )


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path):
    """Give every module imported anywhere in a file, inside functions too, as a dotted name."""
    here = ("runware_nb", *path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: -node.level] if node.level else ()
            module = tuple(node.module.split(".")) if node.module else ()
            if module or not node.level:
                yield ".".join((*base, *module))
            else:
                yield from (".".join((*base, alias.name)) for alias in node.names)


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_room_has_a_floor():
    assert {room_of(path) for path in FILES} - HALLS - APART <= {
        r for f in FLOORS for r in ({f} if isinstance(f, str) else f)
    }


def test_imports_go_one_way():
    wrong = []
    for path in FILES:
        room = room_of(path)
        if room in HALLS:
            continue
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] != "runware_nb" or len(parts) == 1:
                continue
            other = parts[1]
            if room in APART or other in APART:
                allowed = other == room
            elif other == room or level(other) is None:  # a name of the package itself, such as __version__
                allowed = True
            else:
                allowed = level(other) < level(room)
            if not allowed:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert wrong == []


def test_each_network_library_has_one_importer():
    for library, home in ONLY_IMPORTER.items():
        users = {
            str(path.relative_to(PACKAGE)) for path in FILES if room_of(path) not in APART
            for name in imports_of(path) if name.split(".")[0] == library
        }  # fmt: skip
        assert users == {home}


def test_wire_does_no_io_and_has_no_clock():
    banned = {"time", "datetime", "random", "secrets", "socket", "os", "asyncio", "threading", "subprocess", "io"}
    for path in (PACKAGE / "wire").glob("*.py"):
        assert not {name.split(".")[0] for name in imports_of(path)} & banned, path


def test_only_settings_reads_the_environment():
    readers = {
        room_of(path) for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }  # fmt: skip
    assert readers == {"settings"}


def test_nothing_is_called_utils():
    assert not [path for path in FILES if path.stem in {"utils", "helpers", "common", "misc"}]


def test_only_one_module_makes_locks_and_pools_of_threads():
    """A bare lock or pool hangs a forked child if a thread of the parent held it: `forking` has ones that do not."""
    bare = {"Lock", "RLock", "ThreadPoolExecutor", "register_at_fork"}
    users = {
        str(path.relative_to(PACKAGE)) for path in FILES if room_of(path) not in APART
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in bare
        and isinstance(node.value, ast.Name | ast.Attribute)
        and (node.value.id if isinstance(node.value, ast.Name) else node.value.attr) in {"threading", "futures", "os"}
    }  # fmt: skip
    assert users == {"forking.py"}
