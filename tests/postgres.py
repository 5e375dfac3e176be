"""A real PostgreSQL server on a free port, in a temporary folder, run by a user who is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Any

import psycopg

from tests.setup.machine import find_postgres, postgres_of_wheel

__all__ = ["Postgres"]


class Postgres:
    """A server that lives as long as the tests.

    Args:
        is_durable: Whether it waits for the disk, as it does for users; tests are in a hurry.
    """

    def __init__(self, *, is_durable: bool = False) -> None:
        self._who = _somebody()
        self.folder = Path(tempfile.mkdtemp(prefix="runware-pg-"))
        if self._who:
            os.chown(self.folder, self._who["user"], self._who["group"])
        self._programs = _find(self.folder, is_root=bool(self._who))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._call(
            "initdb", "-D", "data", "-U", "runware", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"
        )
        self._options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        if not is_durable:
            self._options += " -c fsync=off -c full_page_writes=off"
        self.start()

    def start(self) -> None:
        self._call("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", self._options, "start")

    def stop(self) -> None:
        self._call("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop")

    def database(self) -> str:
        """Create an empty database, and return its URL."""
        name = f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="runware", dbname="postgres", autocommit=True
        ) as admin:
            admin.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://runware@127.0.0.1:{self.port}/{name}"

    def close(self) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _call(self, program: str, *arguments: str) -> None:
        made = subprocess.run(
            [self._programs / program, *arguments], cwd=self.folder, capture_output=program != "pg_ctl", text=True, **self._who,
            **({"stdout": subprocess.DEVNULL} if program == "pg_ctl" else {}),
        )  # fmt: skip
        if made.returncode:
            raise RuntimeError(f"{program} failed ({made.returncode}): {made.stderr}; see {self.folder / 'log'}")


def _find(folder: Path, *, is_root: bool) -> Path:
    """Return the folder of PostgreSQL's programs; a copy of them in *folder* where only root can read the original."""
    programs = find_postgres()
    if programs is None:
        raise RuntimeError(
            "PostgreSQL is missing: run `make test`, which installs it (Debian: apt-get install postgresql)"
        )
    wheel = postgres_of_wheel()
    if is_root and wheel is not None and programs == wheel / "bin" and not _is_open_to_all(programs):
        package = wheel.parent  # its libraries lie next to it, and are found by a relative path
        shutil.copytree(wheel, folder / package.name / wheel.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, folder / libraries.name)
        return folder / package.name / wheel.name / "bin"
    return programs


def _is_open_to_all(folder: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in (folder, *folder.parents))


def _somebody() -> dict[str, Any]:
    """Give the user to run as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("there is no user to run PostgreSQL as: neither postgres nor nobody")
