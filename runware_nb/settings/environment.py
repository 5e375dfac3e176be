"""What the environment tells about the process: folders, the notebook, and what a child process may know."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ..core.redaction import known_secrets
from .model import SETTINGS
from .secrets import remember_secrets

__all__ = [
    "child_environment",
    "current_folder",
    "environment_fingerprint",
    "jupyter_session_name",
    "notebook_name",
    "text_of_variable",
    "user_cache_folder",
    "user_file",
]


def current_folder() -> Path | None:
    """Return the working directory; None if it was deleted while the process was in it."""
    try:
        return Path.cwd()
    except OSError:
        return None


def user_file(environ: Mapping[str, str]) -> Path:
    """Return the path of the user's settings."""
    base = Path(environ.get("XDG_CONFIG_HOME") or "~/.config")
    with contextlib.suppress(RuntimeError):  # a container's user may have no home folder, and therefore no file
        base = base.expanduser()
    return base / "runware_nb" / "config.toml"


def user_cache_folder() -> Path | None:
    """Return the user's folder for what can be fetched again; None where there is no home folder.

    It is never the project's: a file that comes with a cloned project must not be taken for a response of a service.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    if Path(given).is_absolute():
        return Path(given) / "runware_nb"
    if sys.platform == "win32" and Path(os.environ.get("LOCALAPPDATA", "")).is_absolute():
        return Path(os.environ["LOCALAPPDATA"]) / "runware_nb" / "cache"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if not home.is_absolute():
        return None
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "runware_nb"


def child_environment() -> dict[str, str]:
    """Return the environment for a child process: what a program needs to run, and no secret.

    It lists what is passed on. Which variables of other programs contain secrets cannot be known.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if (name.upper() in _FOR_CHILDREN or name.upper().startswith(_PREFIXES_FOR_CHILDREN))
        and not known_secrets.is_in(value)
    }


_FOR_CHILDREN = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "COLUMNS", "LINES", "LANG", "LANGUAGE", "TZ", "TMPDIR",
        "TEMP", "TMP", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "FONTCONFIG_PATH", "FONTCONFIG_FILE",
        "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "APPDATA",
        "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE",
    }
)  # fmt: skip
_PREFIXES_FOR_CHILDREN = ("LC_", "PYTHON", "XDG_", "CONDA_", "COV_", "COVERAGE_", "OMP_", "OPENBLAS_", "MKL_")


def environment_fingerprint(key_variable: str) -> str:
    """Return a text that changes whenever the key or the budget in the environment changes."""
    remember_secrets()
    values = [os.environ.get(name, "").strip() for name in (key_variable, SETTINGS["budget_usd"].variable)]
    return hashlib.sha256("\0".join(values).encode("utf-8", "surrogateescape")).hexdigest()


def jupyter_session_name() -> str | None:
    """Return the notebook's path as JupyterLab passes it to the kernel; outdated after the notebook is renamed."""
    return os.environ.get("JPY_SESSION_NAME")


def notebook_name() -> str | None:
    """Return the name that RUNWARE_NB_NOTEBOOK gives to the notebook, for front ends that pass none to the kernel."""
    return os.environ.get("RUNWARE_NB_NOTEBOOK") or None


def text_of_variable(variable: str) -> str | None:
    """Return the text of an environment variable that the user has named, such as a password; None if it is not set."""
    return os.environ.get(variable) or None
