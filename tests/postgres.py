"""A real PostgreSQL, on a free port, in a folder of its own, run by somebody who is not root."""

from __future__ import annotations

import glob
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
        """Make an empty database, and give its address."""
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
            [_find(program), *arguments], cwd=self.folder, capture_output=program != "pg_ctl", text=True, **self._who,
            **({"stdout": subprocess.DEVNULL} if program == "pg_ctl" else {}),
        )  # fmt: skip
        if made.returncode:
            raise RuntimeError(f"{program} failed ({made.returncode}): {made.stderr}; see {self.folder / 'log'}")


def _find(program: str) -> str:
    found = shutil.which(program) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{program}"))), None)
    if found is None:
        raise RuntimeError(f"{program} is missing: the tests want a real PostgreSQL (Debian: postgresql)")
    return found


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
